"""``srbench measure --claims``: published values compared with measured ones, and explained where they differ."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from srbench.explaining import ExplainError
from srbench.explaining.explanation import Explained
from srbench.explaining.matching import Printed
from srbench.files.config import ConfigError, read_toml, register, structure
from srbench.interfaces import SRBenchError
from srbench.metrics.loading import located, parse_metric
from srbench.metrics.suite import meanings, read_suite
from srbench.run_folder.measured import Measured
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import unknown


@dataclass(frozen=True)
class _Entry:
    metric: str
    value: Printed
    folder: str = ""
    source: str = ""


@dataclass(frozen=True)
class _File:
    claim: tuple[_Entry, ...]
    source: str = ""


def _printed(value: object) -> Printed:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; put the number in quotes, so that its digits count")
    return Printed(value)


register(Printed, _printed)


@dataclass(frozen=True)
class Claim:
    """A published value of a metric, for a measured folder."""

    folder: str
    """Label of the folder."""
    metric: str
    """Name as in ``--metrics``."""
    spec: str
    """Name with the parameters of the suite, as in ``MetricFacts.spec``."""
    value: Printed
    """The value as printed; its digits decide what reproduces it."""
    source: str
    """Origin of the value; empty if the file states none."""


@dataclass(frozen=True)
class Verdict:
    """A claim, the measured value, and the protocols that print the published value."""

    claim: Claim
    measured: float
    """Mean over the images; NaN if no image could be measured."""
    explained: Explained | None = None
    """Values under other protocols; None if the claim is reproduced, or no other protocol can be tried."""
    left_out: bool = False
    """True if the metric was left out of the suite, for want of images or weights."""

    @property
    def verdict(self) -> str:
        """``reproduced``, ``reproduced under another protocol``, ``not reproduced`` or ``not measured``."""
        if self.left_out:
            return "not measured"
        if self.claim.value.how(self.measured):
            return "reproduced"
        has_matches = self.explained is not None and self.explained.matches
        return "reproduced under another protocol" if has_matches else "not reproduced"

    @property
    def text(self) -> str:
        """The verdict, and the protocol that prints the value or comes nearest."""
        if self.left_out:
            name = parse_metric(self.claim.spec)[0]
            return f"{self.verdict}: left out of the suite; run with --metrics {name} to see the reason"
        if how := self.claim.value.how(self.measured):
            return self.verdict if how == "rounded" else f"{self.verdict}, {how}"
        reason = "no other protocol was tried" if self.explained is None else self.explained.summary()
        return f"{self.verdict}: {reason}"

    def facts(self) -> dict[str, object]:
        """Return claim, measured value, verdict, and the protocols that print the value or else come nearest."""
        protocols = () if self.explained is None else self.explained.matches or self.explained.nearest
        return {
            "metric": self.claim.metric,
            "published": self.claim.value.text,
            "source": self.claim.source,
            "measured": self.measured,
            "verdict": self.verdict,
            "text": self.text,
            "protocols": [
                {"words": match.protocol.words, "value": match.value, "how": match.how, "metrics": match.protocol.text}
                for match in protocols
            ],
        }


def read_claims(path: Path, folders: Sequence[str], names: Sequence[str] | None, suite: str) -> tuple[Claim, ...]:
    """Read a TOML file of claims about folders that will be measured.

    Args:
        path: The file.
        folders: Labels of the folders.
        names: Metrics to measure; None: those of the suite.
        suite: Name of a protocol, or a TOML file.

    Raises:
        ConfigError: The file cannot be read.
        ExplainError: Unknown keys, values that are not numbers, or folders or metrics that will not be measured; all
            are listed.
    """
    table = read_toml(path)
    columns = meanings(read_suite(suite).columns)
    requested = columns if names is None else {name: columns.get(name, name) for name in names}
    requested = {name.removeprefix("pyiqa:"): spec for name, spec in requested.items()} | requested
    shortest = {min((name for name in requested if requested[name] == spec), key=len) for spec in requested.values()}
    faults = []
    try:
        file = structure(table, _File, "")
    except ConfigError as error:
        faults.append(str(error).removeprefix(": "))
    listed = table.get("claim")
    for place, entry in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(entry, dict):
            continue  # among the faults already, like values of other types below
        folder, metric = entry.get("folder", ""), entry.get("metric")
        if isinstance(folder, str) and folder not in folders and (folder or len(folders) > 1):
            fault = unknown("folder", folder, folders) if folder else f"missing; name one of {', '.join(folders)}"
            faults.append(f"claim[{place}].folder: {fault}")
        if isinstance(metric, str) and metric not in requested:
            fault = f"{metric!r} is not measured; add it to --metrics, or name one of {', '.join(sorted(shortest))}"
            faults.append(f"claim[{place}].metric: {fault}")
    if faults:
        raise ExplainError(f"{path}: {'; '.join(faults)}")
    return tuple(
        Claim(
            entry.folder or folders[0],
            entry.metric,
            located(requested[entry.metric]),
            entry.value,
            entry.source or file.source,
        )
        for entry in file.claim
    )


def judged(
    claims: Sequence[Claim],
    measured: Sequence[Measured],
    folders: Mapping[str, Path],
    hr: Path | None = None,
    lr: Path | None = None,
    scale: int | None = None,
    progress: Progress = silent,
    workers: int | None = 1,
    device: str = "auto",
) -> tuple[list[Verdict], list[str]]:
    """Compare claims with measured values, then those that differ with values under other protocols.

    Other protocols are tried if HR images are given, in one search for each folder and metric.

    Args:
        claims: Claims about the measured folders.
        measured: Results of ``measure_folders`` for the arguments below.
        folders: Folders of images by label.
        hr: Folder of HR images.
        lr: Folder of LR images.
        scale: Upscaling factor.
        progress: Called after every image.
        workers: Number of worker processes; None: chosen for the machine.
        device: Device of the metrics that can use it.

    Returns:
        Verdicts in the order of the claims, and remarks on images and protocols that were left out.
    """
    verdicts, remarks = [], dict[str, None]()
    by_label = {folder.label: folder for folder in measured}
    differing = defaultdict[tuple[str, str], list[int]](list)
    for place, claim in enumerate(claims):
        folder = by_label[claim.folder]
        name = next((facts.name for facts in folder.metrics + folder.set_metrics if facts.spec == claim.spec), None)
        if name is None:
            verdicts.append(Verdict(claim, math.nan, left_out=True))
            continue
        count, total = folder.averaged(name), len(folder.values)
        if count < total and name not in folder.sets:
            remarks[f"{claim.folder}, {claim.metric}: mean of {count} of {total} images"] = None
        verdicts.append(Verdict(claim, folder.sets[name] if name in folder.sets else folder.mean(name)))
        if verdicts[-1].verdict != "reproduced":
            differing[claim.folder, parse_metric(claim.spec)[0]].append(place)
    if differing and hr is not None:
        from srbench.explaining.search import explain
        from srbench.metrics.protocols.families import FAMILIES

        for (label, metric), places in differing.items():
            if metric not in FAMILIES and not metric.startswith("pyiqa:"):
                continue
            texts = [claims[place].value.text for place in places]

            def searching(step: Step, metric: str = metric) -> None:
                progress(replace(step, what=f"other protocols of {metric}"))

            try:
                found = explain(
                    texts,
                    metric,
                    sr=folders[label],
                    hr=hr,
                    lr=lr,
                    scale=scale,
                    progress=searching,
                    workers=workers,
                    device=device,
                )
            except SRBenchError as error:  # such as images of another size than HR
                remarks[f"{label}, {metric}: no other protocol was tried ({error})"] = None
                continue
            for place, explained in zip(places, found.numbers, strict=True):
                verdicts[place] = replace(verdicts[place], explained=explained)
            remarks |= dict.fromkeys([*found.remarks, *(f"not tried: {line}" for line in found[0].not_tried)])
    return verdicts, list(remarks)
