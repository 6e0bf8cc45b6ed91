"""``srbench.read_run``: manifest, raw records and tables of a run folder, for other programs."""

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

    Records are read on first use. The tables have the current records: the latest record of each pair, sample and
    score, for the images, models and metrics of the manifest. Failures are rows with an ``error``.
    """

    path: Path
    manifest: Manifest
    """Protocol, images, metrics, models, settings and invocations."""

    def lines(self, kind: type[Record]) -> Iterator[Record]:
        """Yield all records of a kind in order, including records that a later record replaces.

        ``kind`` is a class of ``srbench.run_folder.records``. Raises RunFolderError, which names a damaged line.
        """
        return read(self.path, kind)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per image that was read: its key, and the SHA-256 of the pixels of LR and HR."""
        pairs = [pair for image in self.manifest.images if (pair := self._folder.of(image).pair) is not None]
        rows = [asdict(pair) | {"lr": pair.lr and pair.lr.pixels, "hr": pair.hr and pair.hr.pixels} for pair in pairs]
        return _table(rows, "image", "lr", "hr")

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row per model, temperature and image: the number of ``outputs``, time, memory and runaway samples.

        ``temperature`` is NaN for a model with a single output.
        """
        columns = ("model", "temperature", "image", "outputs", "kept", "seconds", "peak_memory_mb", "runaway")
        samples = self._folder.planned_samples()
        rows = [asdict(sample) | {"outputs": len(sample.outputs), "kept": sample.kept} for sample in samples]
        return _table(rows, *columns).astype({"temperature": float, "runaway": "Int64"})

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per value; ``value`` is NaN if the metric failed.

        ``sample`` is -1 for a value of all samples; ``image`` is empty for a value of all images, such as FID.
        """
        manifest = self._folder.manifest
        of_images = [score for sample in self._folder.planned_samples() for score in self._folder.scores(sample)]
        of_folders = [
            score
            for setting in manifest.settings
            for metric in manifest.folder_metrics
            if (score := self._folder.folder_score(setting, metric)) is not None
        ]
        rows = [
            asdict(score) | {"sample": number, "value": value}
            for score in (*of_images, *of_folders)
            for number, value in (enumerate(score.value) if isinstance(score.value, list) else [(-1, score.value)])
        ]
        columns = ("model", "temperature", "image", "metric", "signature", "sample", "value")
        return _table(rows, *columns).astype({"temperature": float, "value": float})

    @cached_property
    def environments(self) -> pd.DataFrame:
        """One row per environment, indexed by key, with a column per fact."""
        import pandas as pd

        facts = {key: record.facts for key, record in self._folder.environments.items()}
        return pd.DataFrame.from_dict(facts, orient="index")

    @cached_property
    def _folder(self) -> RunFolder:
        return RunFolder.read(self.path)


def _table(rows: list[dict[str, Any]], *columns: str) -> pd.DataFrame:
    """Tabulate some fields of records, followed by the fields that all records have."""
    import pandas as pd

    return pd.DataFrame(rows, columns=[*columns, "key", "error", "invocation", "environment"])


def read_run(path: str | Path) -> RunRecords:
    """Open a run folder, finished or not. The manifest is read now, records on first use.

    Args:
        path: The run folder.

    Raises:
        RunFolderError: There is no run, or its manifest is damaged or of an unknown format.

    Examples:
        >>> read_run("reports/photos-x8").manifest.protocol.scale
        8
    """
    folder = Path(path)
    check_files(folder)
    return RunRecords(folder, read_manifest(folder))
