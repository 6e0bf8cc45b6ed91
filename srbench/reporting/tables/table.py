"""The table: a line per model and temperature, with text, interval and mark of every cell, the same in every format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from string import ascii_lowercase
from typing import Generic, Literal, TypeVar

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import printed
from srbench.judging.sign_flips import mean_intervals
from srbench.judging.units import unit_of_metric
from srbench.judging.verdicts import BestRows, Pair, best_rows, pairs_of
from srbench.metrics.suite import left_out
from srbench.models import Checkpoint, ModelInfo
from srbench.reporting.results import Runs, distinct, metric_key
from srbench.reporting.tables.families import families_of, run_of
from srbench.run_folder.protocol import Setting
from srbench.run_folder.values import Values, mean, mean_of_images
from srbench.words import joined, natural


@dataclass(frozen=True)
class Cell:
    """The value of a metric in a line."""

    mean: float
    """Mean over images with a finite value, or over their groups; or the value of a metric of all images together;
    NaN if it is missing."""
    low: float
    """Lower end of the 95 % interval of the mean; NaN for too few images or groups."""
    high: float
    is_best: bool
    """True for the best mean among models, and those that share its mark; printed in bold."""
    text: str
    """The mean, rounded to the digits of the metric."""
    interval: str
    """``21.43–24.05`` or ``-1.3 to 8.9``; empty if there is no interval, or its width is 0."""
    beaten: tuple[str, ...] = ()
    """Letters of the models that are significantly worse."""


NO_CELL = Cell(math.nan, math.nan, math.nan, is_best=False, text="–", interval="")
"""Cell of a metric that was not measured."""


@dataclass(frozen=True)
class Line:
    """A row of the table: a model at one temperature."""

    setting: Setting
    cells: dict[str, Cell]
    """Cells of all metrics, by name; a table may show fewer columns."""
    images: int
    n: int
    """Number of images, or of their groups if means are over groups."""
    not_finite: int
    """Number of images with a missing or non-finite value, which means leave out."""
    family: str
    """Label of the model whose row represents this row: another model's for a strength or projection of that model."""
    is_variant: bool
    """True for a row that does not represent its model, which is shown below the models and not compared."""
    is_projected: bool = False
    """True if outputs are projected onto LR, so that they downscale to it."""
    checkpoint: Checkpoint | None = None
    """Training and step of a checkpoint; in a table of several runs, the training may be called ``mine @ monday``."""
    letter: str = ""
    """Letter of a row that represents its model, else empty; a number in a table of more than 26 models."""
    typed: str = ""
    """The model as the user typed it, such as ``srflow`` or ``mine=FOLDER``; empty for measured folders."""

    @property
    def label(self) -> str:
        """Model and temperature, such as ``srflow τ=0.8``."""
        return self.setting.label

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Means and ends of their intervals, in full precision: ``psnr``, ``psnr_low``, ``psnr_high`` and so on."""
        return {
            f"{name}{end}": number
            for name, cell in self.cells.items()
            for end, number in (("", cell.mean), ("_low", cell.low), ("_high", cell.high))
        }

    @property
    def joint_label(self) -> str:
        """Label of the training for a checkpoint, else of the model."""
        return self.setting.model if self.checkpoint is None else self.checkpoint.training


@dataclass(frozen=True)
class Table:
    """Means of models that were measured on the same images under one protocol."""

    metrics: tuple[MetricInfo, ...]
    """All metrics; those that permit no test are last. Their titles differ."""
    columns: tuple[MetricInfo, ...]
    """Metrics to show: a metric of diversity that is 0 in every row is left out."""
    lines: tuple[Line, ...]
    best: dict[str, BestRows]
    """Best rows of every metric; none of a metric that permits no test. In metrics of consistency,
    projected rows are not compared."""
    values: Values
    """Values behind the means."""
    left_out: str = ""
    """Sentence on measured but uninformative columns, which are not shown; else empty."""

    @property
    def models(self) -> list[Line]:
        """Lines that represent their models; they come first in every format."""
        return [line for line in self.lines if not line.is_variant]

    @property
    def variants(self) -> list[Line]:
        """All other lines, model by model, shown below."""
        labels = list(dict.fromkeys(line.setting.model for line in self.lines))
        return sorted((line for line in self.lines if line.is_variant), key=lambda line: labels.index(line.family))

    @property
    def shown(self) -> list[Line]:
        """All lines in the order of tables in which variants follow their models."""
        return [*self.models, *self.variants]

    @property
    def unit(self) -> str:
        """What means, intervals and tests are over: ``image`` or ``group``."""
        return _unit(self.metrics, self.values)

    @property
    def units(self) -> str:
        """The same in the plural, with the size of groups."""
        return self.values.units if self.unit == self.values.unit else "groups"

    @property
    def samples(self) -> tuple[int, ...]:
        """Numbers of samples of an image, rising; empty if no model samples."""
        counts = {len(value) for own in self.values.of.values() for value in own.values() if isinstance(value, list)}
        return tuple(sorted(counts - {0, 1}))

    def cells(self, line: Line) -> list[Cell]:
        """Return the cells of a line, in the order of the columns."""
        return [line.cells[metric.name] for metric in self.columns]

    @property
    def pairs(self) -> Iterator[tuple[MetricInfo, Pair]]:
        """Every two compared rows in every metric that has a direction and permits a test."""
        yield from ((metric, pair) for metric in self.metrics for pair in pairs_of(self.best[metric.name]))

    def column(self, metric: str) -> list[Cell]:
        """Return the cells of a metric, one per line. Raises KeyError if it was not measured."""
        return [line.cells[metric] for line in self.lines]


@dataclass(frozen=True)
class Block:
    """A table among others of its protocol."""

    table: Table
    dataset: str
    """Name of the dataset; empty for a table that stands alone, whose caption names it."""
    scale: int

    @property
    def place(self) -> tuple[str, ...]:
        """Cells before the model: dataset and scale; none in a table that stands alone."""
        return (self.dataset, f"{self.scale}x") if self.dataset else ()

    def run_names(self, line: Line) -> list[str]:
        """Return the names of the runs that measured a line;
        none in a table that stands alone, whose caption names them.
        """
        return []


BlockT_co = TypeVar("BlockT_co", bound=Block, covariant=True)


@dataclass(frozen=True)
class Tables(Generic[BlockT_co]):
    """Tables of one protocol, printed as one: a block for each dataset and scale."""

    title: str
    """Name and version of the protocol; empty for a table that stands alone."""
    blocks: tuple[BlockT_co, ...]

    @cached_property
    def columns(self) -> list[MetricInfo]:
        """Columns of all blocks; those that permit no test are last."""
        metrics = {metric_key(metric): metric for block in self.blocks for metric in block.table.columns}
        return sorted(distinct(list(metrics.values())), key=lambda metric: not metric.permits_test)

    def cells(self, block: Block, line: Line) -> list[Cell]:
        """Return the cells of a line in the order of the columns; a dash for a column that the block lacks."""
        names = {metric_key(metric): metric.name for metric in block.table.columns}
        return [line.cells[names[column]] if column in names else NO_CELL for column in map(metric_key, self.columns)]

    def rows(self, part: Literal["models", "variants"] = "models") -> Iterator[tuple[BlockT_co, Line, list[Cell]]]:
        """Yield the lines of the models, or of the variants, of all blocks, with their cells."""
        for block in self.blocks:
            for line in block.table.models if part == "models" else block.table.variants:
                yield block, line, self.cells(block, line)


def as_tables(tables: Table | Tables[Block]) -> Tables[Block]:
    """Return tables of one protocol, or a table that stands alone as one block."""
    return tables if isinstance(tables, Tables) else Tables("", (Block(tables, "", 0),))


def table_of(values: Values, metrics: Sequence[MetricInfo], models: Sequence[ModelInfo] = ()) -> Table:
    """Compute the table of some values.

    Args:
        values: Values by setting; each setting is a line.
        metrics: All metrics measured.
        models: Info of the models, by which lines are grouped into models and their variants; optional.
    """
    metrics = sorted(distinct(metrics), key=lambda metric: not metric.permits_test)
    settings = values.settings
    families = families_of(settings, models)
    labels = list(dict.fromkeys(setting.model for setting in settings))
    projected = {model.label for model in models if model.projected}
    checkpoints = {model.label: _of_table(model) for model in models}
    typed = {model.label: model.spec for model in models}
    means = {metric.name: [values.means(setting, metric) for setting in settings] for metric in metrics}
    of_units = {metric.name: [values.of_units(setting, metric) for setting in settings] for metric in metrics}
    intervals = _intervals({metric.name: of_units[metric.name] for metric in metrics if values.permits_test(metric)})
    best = {
        metric.name: best_rows(
            {
                row: means[metric.name][row]
                for row in families.models
                if not (of_lr(metric) and settings[row].model in projected)
            },
            metric,
            values,
        )
        if metric.permits_test
        else BestRows()
        for metric in metrics
    }
    beaten = {metric.name: best[metric.name].beaten for metric in metrics}
    names = ascii_lowercase if len(families.models) <= len(ascii_lowercase) else map(str, count(1))
    letters = dict(zip(sorted(families.models), names, strict=False))
    unit = _unit(metrics, values)
    lines = []
    for row, setting in enumerate(settings):
        cells = {}
        for metric in metrics:
            ends = intervals.get((metric.name, row), (math.nan, math.nan))
            of_row = mean_of_images(of_units[metric.name][row])
            worse = tuple(letters[other] for other in beaten[metric.name].get(row, []))
            cells[metric.name] = _cell(of_row, *ends, row in best[metric.name].rows, worse, metric)
        line = Line(
            setting,
            cells,
            images=len(values.images[setting]),
            n=values.count(setting) if unit == values.unit else max(len(each[row]) for each in of_units.values()),
            not_finite=values.not_finite(setting, metrics),
            family=labels[families.model_of[row]],
            is_variant=row not in families.models,
            is_projected=setting.model in projected,
            checkpoint=checkpoints.get(setting.model),
            letter=letters.get(row, ""),
            typed=typed.get(setting.model, ""),
        )
        lines.append(line)
    applicable = {
        metric.name: [
            mean(value)
            for setting in settings
            for value in values.of.get((setting, metric.name), {}).values()
            if value is not None
        ]
        for metric in metrics
    }
    columns, left_out = informative(metrics, applicable)
    return Table(tuple(metrics), tuple(columns), tuple(lines), best, values, left_out)


def _unit(metrics: Sequence[MetricInfo], values: Values) -> str:
    """Return ``group`` if all tests are over groups, as those of metrics of clips are, else the unit of the images."""
    kinds = {unit_of_metric(metric, values) for metric in metrics if metric.permits_test}
    return kinds.pop() if len(kinds) == 1 else values.unit


def _of_table(model: ModelInfo) -> Checkpoint | None:
    """Return the place of a checkpoint, with the name of the run after that of the training if the label has one."""
    if model.checkpoint is None or not (run := run_of(model.label)):
        return model.checkpoint
    return replace(model.checkpoint, training=f"{model.checkpoint.training} @ {run}")


def table_of_runs(results: Runs, *, best_first: bool = False) -> Table:
    """Compute the table of one run, or of several runs in one table, whose rows may be sorted by their first metric.

    Its ``left_out`` also names the columns of the suite that need several samples per image or a larger scale.
    """
    metrics = results.manifest.metrics
    values = _best_first(results.values, metrics) if best_first else results.values
    table = table_of(values, metrics, results.models)
    requests = [invocation.request for run in results.runs for invocation in run.invocations]
    by_suite = any(request is None or request.metrics is None for request in requests)
    not_permitted = left_out(results.protocol.columns, results.protocol.lacking) if by_suite else ""
    return replace(table, left_out=" ".join(filter(None, [table.left_out, not_permitted])))


def _best_first(values: Values, metrics: Sequence[MetricInfo]) -> Values:
    """Sort rows by the first metric that has a direction:
    the best first, equal rows by label, and the unmeasured last.
    """
    directed = [metric for metric in metrics if metric.direction]
    if not directed:
        return values
    metric = min(directed, key=lambda metric: not metric.permits_test)

    def place(setting: Setting) -> tuple[bool, float, list[tuple[int, str]]]:
        mean = mean_of_images(values.of_units(setting, metric))
        return math.isnan(mean), 0 if math.isnan(mean) else -metric.direction * mean, natural(setting.label)

    return replace(values, images={setting: values.images[setting] for setting in sorted(values.settings, key=place)})


def informative(
    metrics: Sequence[MetricInfo], values: Mapping[str, Iterable[float]]
) -> tuple[Sequence[MetricInfo], str]:
    """Drop metrics of diversity whose ``values`` are all 0; return the remaining metrics and a sentence on the dropped.

    If no metric would remain, all do.
    """
    dropped = [metric for metric in metrics if metric.group == "Diversity" and not any(values[metric.name])]
    if not dropped or len(dropped) == len(metrics):
        return metrics, ""
    titles = joined([metric.title for metric in dropped])
    is_zero = "is left out: it is" if len(dropped) == 1 else "are left out: they are"
    return [metric for metric in metrics if metric not in dropped], (
        f"{titles} {is_zero} 0 everywhere, as no model draws samples that differ."
    )


def single_values(metrics: Iterable[MetricInfo]) -> str:
    """Name the metrics with a single value for each row: ``FID of all images together, runtime of the model``."""
    titles: dict[str, list[str]] = {}
    for metric in metrics:
        if not metric.permits_test:
            titles.setdefault(metric.subject, []).append(metric.title)
    return ", ".join(f"{joined(names)} of {subject}" for subject, names in titles.items())


def of_lr(metric: MetricInfo) -> bool:
    """Return whether a metric measures consistency with LR:
    of outputs projected onto LR, it says nothing about the model.
    """
    return metric.group == "Consistency"


def other_means(metrics: Iterable[MetricInfo]) -> str:
    """Say which columns are no means over images: ``tLP over groups; FID of all images together, untested``."""
    of_groups = joined([metric.title for metric in metrics if metric.subject == "group"])
    single = single_values(metrics)
    return "; ".join(filter(None, [of_groups and f"{of_groups} over groups", single and f"{single}, untested"]))


def header(metric: MetricInfo) -> str:
    """Return title and direction of a metric: ``LPIPS ↓``, or ``sigma``, which has no direction."""
    return f"{metric.title} {('', '↑', '↓')[metric.direction]}".rstrip()


def together(letters: Sequence[str]) -> str:
    """Join letters of models: ``ac``; numbers, in their place, as ``1,27``."""
    return ("" if all(map(str.isalpha, letters)) else ",").join(letters)


def _intervals(by_metric: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[tuple[str, int], tuple[float, float]]:
    """Return the 95 % interval of the mean of every metric and line. Units are sorted, so that tests flip the same."""
    keys = [(name, row) for name, rows in by_metric.items() for row in range(len(rows))]
    columns = [[by_metric[name][row][unit] for unit in sorted(by_metric[name][row])] for name, row in keys]
    return dict(zip(keys, mean_intervals(columns), strict=True))


def _cell(mean: float, low: float, high: float, is_best: bool, beaten: tuple[str, ...], metric: MetricInfo) -> Cell:
    between = "–" if low >= 0 else " to "
    interval = "" if math.isnan(low) or low == high else f"{printed(low, metric)}{between}{printed(high, metric)}"
    return Cell(mean, low, high, is_best, printed(mean, metric), interval, beaten)
