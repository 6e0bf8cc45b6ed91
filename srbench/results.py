"""The rows of a run -> tidy values -> one line per model and temperature.

``rows.jsonl`` holds one JSON object a measured item: a picture, a model, a temperature. Values that are not
finite are the texts "inf" and "nan" there, for JSON has none.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from srbench.images import write_whole
from srbench.manifest import read_manifest
from srbench.statistics import mean_interval
from srbench.types import SRBenchError

if TYPE_CHECKING:
    from pandas.core.groupby import DataFrameGroupBy

FILE = "rows.jsonl"
COLUMNS = ("psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique", "sigma")
"""The metrics of the suite in the order of the table: columns of table.csv, measured or not."""


class ResultsError(SRBenchError):
    """Rows that are missing or damaged."""


@dataclass(frozen=True)
class Row:
    """One measured item."""

    key: str
    """Of the work item: a hash of all that determines the values."""
    model: str
    temperature: float | None
    """None for a model with one answer."""
    dataset: str
    image: str
    scale: int
    samples: int
    """How many were drawn and measured."""
    seed: int
    """Of the run."""
    suite: str
    """Name and version of the protocol: ``srflow@1``."""
    values: dict[str, list[float] | float]
    """By metric: one value a sample, or a number for the whole set."""
    model_seconds: float
    metric_seconds: float
    peak_memory_mb: float | None
    """On a GPU: the most that torch held there during the item. On a CPU: the most the process ever held."""

    @property
    def drawn(self) -> bool:
        """Are the pictures samples, rather than one answer?"""
        return self.temperature is not None or self.samples > 1

    def to_json(self) -> str:
        """One line of strict JSON, without its end."""
        values = {
            name: [_to_json(v) for v in value] if isinstance(value, list) else _to_json(value)
            for name, value in self.values.items()
        }
        return json.dumps(asdict(self) | {"values": values}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Row:
        """The inverse of ``to_json``. Raises ValueError for what is no row."""
        facts = json.loads(line)
        try:
            values = {
                name: [float(v) for v in value] if isinstance(value, list) else float(value)
                for name, value in facts["values"].items()
            }
            return cls(**facts | {"values": values})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a row: {error}") from None


def read_all_rows(run: Path) -> dict[str, Row]:
    """Every row in the folder of a run, by key.

    A last line without an end was torn by a kill and is left out. Raises ResultsError for any other damage.
    """
    path = run / FILE
    try:
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    rows = {}
    for number, line in enumerate(lines, 1):
        try:
            row = Row.from_json(line.decode())
        except ValueError as error:
            raise ResultsError(f"{path}: line {number} is damaged ({error}); delete that line and run again") from None
        rows[row.key] = row
    return rows


def read_rows(run: Path) -> list[Row]:
    """The rows that the manifest of a run plans, in the order of the plan.

    Raises ManifestError where the folder holds no run, ResultsError where no row is measured or one is
    damaged.
    """
    keys, rows = read_manifest(run)["keys"], read_all_rows(run)
    planned = [rows[key] for key in keys if key in rows]
    if not planned:
        raise ResultsError(f"{run}: nothing is measured yet; run its command again")
    return planned


@dataclass(frozen=True)
class ResultTable:
    """Tidy values: columns model, temperature, dataset, image, sample, metric, value; one row a number."""

    values: pd.DataFrame
    """``temperature`` is NaN for a model with one answer, ``sample`` is -1 for a value of the whole set."""
    metrics: tuple[str, ...]
    """In the order of the table."""

    @classmethod
    def from_run(cls, run: Path) -> ResultTable:
        """The planned rows of a run's folder. Raises as ``read_rows`` does."""
        metrics = tuple(metric["name"] for metric in read_manifest(run)["metrics"])
        return cls.from_rows(read_rows(run), metrics)

    @classmethod
    def from_rows(cls, rows: list[Row], metrics: tuple[str, ...]) -> ResultTable:
        """Rows with values of ``metrics``, in the order in which models shall be listed."""
        records = [
            (row.model, row.temperature, row.dataset, row.image, sample, metric, value)
            for row in rows
            for metric in metrics
            for sample, value in _numbered(row.values[metric])
        ]
        columns = ["model", "temperature", "dataset", "image", "sample", "metric", "value"]
        frame = pd.DataFrame.from_records(records, columns=columns)
        return cls(frame.astype({"temperature": float, "value": float}), metrics)

    def per_image(self) -> pd.DataFrame:
        """Means over samples: index model, temperature, image, in the order of rows; a column a metric.

        One sample that is NaN makes the mean NaN.
        """
        keys = ["model", "temperature", "image", "metric"]
        groups = self.values.groupby(keys, sort=False, dropna=False)["value"]
        means = groups.mean().mask(groups.size() > groups.count())
        return means.unstack("metric", sort=False)[list(self.metrics)]

    def columns(self, metric: str) -> list[pd.Series[float]]:
        """The values of a metric by picture, means over samples; a series for every model and temperature."""
        groups = self.per_image()[metric].groupby(level=["model", "temperature"], sort=False, dropna=False)
        return [values.droplevel(["model", "temperature"]) for _, values in groups]

    def summary(self) -> pd.DataFrame:
        """One line per model and temperature (the index): the mean over pictures of every metric.

        Columns ``psnr_low`` and ``psnr_high`` hold the 95 % interval of the mean. Pictures whose value is not finite
        (PSNR of equal pictures) are left out of mean and interval; where all are, the mean is such a value.
        Column ``n`` counts the pictures, ``not_finite`` those with such a value.
        """
        images = self.per_image()
        finite = images.map(math.isfinite)
        usable = images.where(finite)
        summary = _by_setting(usable).mean().where(_by_setting(finite).any(), _by_setting(images).first())
        for metric in self.metrics:
            intervals = [mean_interval(values.to_numpy()) for _, values in _by_setting(usable)[metric]]
            summary[[f"{metric}_low", f"{metric}_high"]] = intervals
        summary["n"] = _by_setting(images).size()
        summary["not_finite"] = _by_setting((~finite).any(axis=1).to_frame("any"))["any"].sum()
        summary.columns.name = None
        return summary


def setting_folder(model: str, temperature: float | None) -> str:
    """The folder of the pictures of a model at a temperature: ``srflow-t0.8``; a model with one answer: its label."""
    return model if temperature is None else f"{model}-t{temperature:g}"


def setting_label(model: str, temperature: float | None) -> str:
    """The same for a reader: ``srflow τ=0.8``. A model without temperature (None, or NaN) has its label alone."""
    return model if temperature is None or math.isnan(temperature) else f"{model} τ={temperature:g}"


def write_csv(table: ResultTable, summary: pd.DataFrame, folder: Path) -> None:
    """Write table.csv, the summary of a table, and rows.csv, all its values, into a folder.

    table.csv has one line per model and temperature: the eight columns of the suite first, measured or not, the
    intervals after all means. rows.csv has one line a number; ``sample`` is empty for a value of the whole set.
    """
    lines = summary.reset_index()
    others = [name for name in table.metrics if name not in COLUMNS]
    intervals = [f"{name}_{end}" for name in table.metrics for end in ("low", "high")]
    columns = ["model", "temperature", *COLUMNS, "n", *others, *intervals, "not_finite"]
    write_whole(folder / "table.csv", lines.reindex(columns=columns).to_csv(index=False).encode())
    rows = table.values.assign(sample=table.values["sample"].replace(-1, pd.NA).astype("Int64"))
    write_whole(folder / "rows.csv", rows.to_csv(index=False).encode())


def _by_setting(images: pd.DataFrame) -> DataFrameGroupBy[Any, Any]:
    return images.groupby(level=["model", "temperature"], sort=False, dropna=False)


def _to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _numbered(value: list[float] | float) -> list[tuple[int, float]]:
    return list(enumerate(value)) if isinstance(value, list) else [(-1, value)]
