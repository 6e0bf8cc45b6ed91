"""One run, or several whose protocols agree, as one: what every report and comparison is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from srbench.manifest import Facts, read_manifest
from srbench.results import ResultTable, Row, read_rows, setting_folder
from srbench.types import SRBenchError

_PROTOCOL: dict[str, Callable[[Facts], Any]] = {
    "protocol": lambda facts: facts["suite"],
    "scale": lambda facts: facts["scale"],
    "data set": lambda facts: facts["dataset"]["name"],
    "pictures": lambda facts: facts["dataset"]["names"],
    "crop": lambda facts: facts["dataset"]["crop"],
    "LR pictures": lambda facts: facts["dataset"]["lr"],
    "metrics": lambda facts: [metric["name"] for metric in facts["metrics"]],
    "definition of the metrics": lambda facts: facts["metrics"],
}
"""What has to be equal in two manifests, so that their values may stand in one table."""


class MergeError(SRBenchError):
    """Runs that cannot stand in one table."""


@dataclass(frozen=True)
class Run:
    """The folder of a run, read; its labels may have been changed."""

    folder: Path
    manifest: Facts
    rows: list[Row]
    saved: dict[str, str]
    """Label of a model -> the label under which its pictures are saved."""


@dataclass(frozen=True)
class Measurements:
    """The runs of one table: equal protocols, and no label stands for two different results."""

    runs: tuple[Run, ...]

    @property
    def manifest(self) -> Facts:
        """Of the first run: protocol, data and metrics are those of all."""
        return self.runs[0].manifest

    @property
    def models(self) -> list[Facts]:
        """Label and weights of every model, each label once."""
        models = {model["label"]: model for run in reversed(self.runs) for model in run.manifest["models"]}
        order = dict.fromkeys(model["label"] for run in self.runs for model in run.manifest["models"])
        return [models[label] for label in order]

    @property
    def rows(self) -> list[Row]:
        """Of all runs; what two of them measured alike is there once."""
        rows = {(row.model, row.temperature, row.image): row for run in reversed(self.runs) for row in run.rows}
        order = dict.fromkeys((row.model, row.temperature, row.image) for run in self.runs for row in run.rows)
        return [rows[key] for key in order]

    def table(self) -> ResultTable:
        """The values of all rows."""
        return ResultTable.from_rows(self.rows, tuple(metric["name"] for metric in self.manifest["metrics"]))

    def pair(self, image: str) -> tuple[Path, Path] | None:
        """The saved LR and HR picture of a name, or None where they are no longer there."""
        for run in self.runs:
            lr, hr = (run.folder / "images" / kind / f"{image}.png" for kind in ("lr", "hr"))
            if lr.exists() and hr.exists():
                return lr, hr
        return None

    def pictures(self, row: Row) -> list[Path]:
        """The saved answer or samples behind a row, those that are still there, in order."""
        for run in self.runs:
            if row.model not in run.saved:
                continue
            setting = setting_folder(run.saved[row.model], row.temperature)
            folder = run.folder / "images" / setting
            endings = [f"_sample{k}" for k in range(row.samples)] if row.drawn else [""]
            found = [file for ending in endings if (file := folder / f"{row.image}{ending}.png").exists()]
            if found:
                return found
        return []


def read_runs(folders: Sequence[Path]) -> Measurements:
    """Read the folders of runs.

    A label that several runs use for different results gets the name of the folder: ``srflow @ monday``. Raises
    MergeError that names the difference where protocols disagree, SRBenchError for a folder that is no
    run or has no measured rows.
    """
    runs = []
    for folder in dict.fromkeys(folders):
        manifest = read_manifest(folder)
        labels = {model["label"]: model["label"] for model in manifest["models"]}
        runs.append(Run(folder, manifest, read_rows(folder), labels))
    for other in runs[1:]:
        _check_protocol(runs[0], other)
    return Measurements(tuple(_unambiguous(runs)))


def _check_protocol(one: Run, other: Run) -> None:
    for what, fact in _PROTOCOL.items():
        here, there = fact(one.manifest), fact(other.manifest)
        if here != there:
            raise MergeError(
                f"{one.folder} and {other.folder} cannot stand in one table: {what}: {_difference(here, there)}; "
                "report each by itself"
            )
    for image in one.manifest["dataset"]["names"]:
        pairs = [run.folder / "images" / kind / f"{image}.png" for kind in ("lr", "hr") for run in (one, other)]
        for mine, theirs in (pairs[:2], pairs[2:]):
            if mine.exists() and theirs.exists() and mine.read_bytes() != theirs.read_bytes():
                raise MergeError(f"{mine} and {theirs} are different pictures; report each run by itself")


def _difference(here: object, there: object) -> str:
    """The two values, or of two lists the first entries in which they differ."""
    if isinstance(here, list) and isinstance(there, list):
        mine, theirs = ([entry for entry in a if entry not in b] for a, b in ((here, there), (there, here)))
        if mine or theirs:
            return f"{_few(mine)} against {_few(theirs)}"
        return "the same in another order"
    return f"{here} against {there}"


def _few(entries: Sequence[object]) -> str:
    shown = ", ".join(map(str, entries[:3])) or "nothing"
    return f"{shown} and {len(entries) - 3} more" if len(entries) > 3 else shown


def _unambiguous(runs: list[Run]) -> list[Run]:
    """The runs with labels changed that stand for different results in two of them."""
    used = {label for one, other in combinations(runs, 2) for label in _conflicts(one, other)}
    names = [run.folder.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    return [
        _renamed(run, {label: f"{label} @ {name}" for label in used}) for run, name in zip(runs, names, strict=True)
    ]


def _conflicts(one: Run, other: Run) -> set[str]:
    digests = {model["label"]: model["digest"] for model in one.manifest["models"]}
    values = {(row.model, row.temperature, row.image): row.values for row in one.rows}
    found = {
        model["label"]
        for model in other.manifest["models"]
        if model["label"] in digests and model["digest"] != digests[model["label"]]
    }
    for row in other.rows:
        if values.get((row.model, row.temperature, row.image), row.values) != row.values:
            found.add(row.model)
    return found


def _renamed(run: Run, names: dict[str, str]) -> Run:
    models = [model | {"label": names.get(model["label"], model["label"])} for model in run.manifest["models"]]
    rows = [replace(row, model=names.get(row.model, row.model)) for row in run.rows]
    saved = {names.get(label, label): before for label, before in run.saved.items()}
    return Run(run.folder, run.manifest | {"models": models}, rows, saved)
