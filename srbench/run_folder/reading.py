"""Run folders for other programs: the manifest at once, lines one by one, and tables of what counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from srbench.run_folder.folder import RunFolder, check_files
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.protocol import Manifest
from srbench.run_folder.records import Record, read

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RunRecords:
    """The records of a run folder, returned by ``srbench.read_run``; ``docs/run-folder.md`` describes them.

    Lines are read when they are asked for. The tables hold what counts: the last record of each thing, of the models,
    images and metrics that the manifest has now, failures with their ``error``.
    """

    path: Path
    manifest: Manifest
    """Protocol, images, metrics, models, settings and invocations."""

    def lines(self, kind: type[Record]) -> Iterator[Record]:
        """All lines of a kind in order, replaced ones too: a class of ``srbench.run_folder.records``.

        Raises RunFolderError that names a damaged line.
        """
        return read(self.path, kind)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per image of the dataset that was read: its key, and the SHA-256 of LR's and HR's pixels."""
        found = [pair for image in self.manifest.images if (pair := self._folder.of(image).pair) is not None]
        pixels = [{name: one and one.pixels for name, one in (("lr", pair.lr), ("hr", pair.hr))} for pair in found]
        rows = [asdict(pair) | own for pair, own in zip(found, pixels, strict=True)]
        return _table(rows, "image", "lr", "hr")

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row per model, temperature and image: the number of ``outputs``, time, memory and samples that ran away.

        ``temperature`` is NaN for a model with one output.
        """
        columns = ("model", "temperature", "image", "outputs", "kept", "seconds", "peak_memory_mb", "runaway")
        rows = [asdict(one) | {"outputs": len(one.outputs), "kept": one.kept} for one in self._folder.planned_samples()]
        return _table(rows, *columns).astype({"temperature": float, "runaway": "Int64"})

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per number; ``sample`` is -1 for a value of the whole set, ``value`` NaN if the metric failed."""
        rows = [
            asdict(score) | {"sample": number, "value": value}
            for sample in self._folder.planned_samples()
            for score in self._folder.scores(sample)
            for number, value in (enumerate(score.value) if isinstance(score.value, list) else [(-1, score.value)])
        ]
        columns = ("model", "temperature", "image", "metric", "signature", "sample", "value")
        return _table(rows, *columns).astype({"temperature": float, "value": float})

    @cached_property
    def environments(self) -> pd.DataFrame:
        """One row per environment that lines name, by its key; a column per fact."""
        import pandas as pd

        facts = {key: one.facts for key, one in self._folder.environments.items()}
        return pd.DataFrame.from_dict(facts, orient="index")

    @cached_property
    def _folder(self) -> RunFolder:
        return RunFolder.read(self.path)


def _table(rows: list[dict[str, Any]], *columns: str) -> pd.DataFrame:
    """Some fields of lines, and those that all kinds have."""
    import pandas as pd

    return pd.DataFrame(rows, columns=[*columns, "key", "error", "tries", "invocation", "environment"])


def read_run(path: str | Path) -> RunRecords:
    """Read the manifest of a run folder, finished or not; its lines are read when they are asked for.

    Args:
        path: The folder.

    Raises:
        RunFolderError: There is no run, or its manifest is damaged or of an unknown format.

    Examples:
        >>> read_run("reports/photos-x8").manifest.protocol.scale
        8
    """
    folder = Path(path)
    check_files(folder)
    return RunRecords(folder, read_manifest(folder))
