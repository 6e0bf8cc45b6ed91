"""Two models on the same pictures: paired differences, how sure they are, and the pictures where they are largest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from srbench.facts import MetricFacts, setting_folder, setting_label
from srbench.names import unknown
from srbench.reporting import markdown
from srbench.reporting.examples import example_png, open_example
from srbench.reporting.files import ReportFolder
from srbench.reporting.merge import Measurements, Run, read_runs
from srbench.reporting.scores import header, printed
from srbench.results import Row
from srbench.run_folder import writing
from srbench.statistics import LEVEL, holm, mean_interval, paired_p_value
from srbench.types import SRBenchError

SHOWN = 4
"""How many pictures are shown, those with the largest difference in LPIPS, or in the first metric without it."""


class CompareError(SRBenchError):
    """Two things that cannot be compared."""


@dataclass(frozen=True)
class Difference:
    """Of one metric: A minus B on every picture that both have."""

    metric: MetricFacts
    mean_a: float
    mean_b: float
    by_picture: dict[str, float]
    """Pictures where both values are finite; means and tests are over these."""
    left_out: int
    """Pictures where a value is not finite."""
    low: float
    """Lower end of the 95 % interval of the mean difference."""
    high: float
    p: float
    """Of the paired permutation test."""
    p_holm: float
    """Corrected for the number of metrics."""

    @property
    def mean(self) -> float:
        """Over pictures."""
        return fmean(self.by_picture.values()) if self.by_picture else math.nan

    @property
    def gains(self) -> dict[str, float]:
        """The differences, turned so that more is better for A."""
        sign = 1 if self.metric.higher_is_better else -1
        return {name: sign * value for name, value in self.by_picture.items()}

    @property
    def outcomes(self) -> tuple[int, int, int]:
        """Pictures on which A is better, equal, worse."""
        gains = list(self.gains.values())
        return sum(gain > 0 for gain in gains), gains.count(0), sum(gain < 0 for gain in gains)

    @property
    def better(self) -> int:
        """1 where A is better, -1 where B is, 0 where the pictures support neither."""
        if not self.p_holm < 1 - LEVEL:
            return 0
        return 1 if fmean(self.gains.values()) > 0 else -1


@dataclass(frozen=True)
class Comparison:
    """Two models at one temperature each."""

    a: tuple[Row, ...]
    b: tuple[Row, ...]
    differences: tuple[Difference, ...]

    @property
    def labels(self) -> tuple[str, str]:
        """A and B for a reader."""
        return setting_label(self.a[0].model, self.a[0].temperature), setting_label(
            self.b[0].model, self.b[0].temperature
        )

    @property
    def folder(self) -> str:
        """A and B, fit for a file name."""
        return "-".join(setting_folder(row.model, row.temperature) for row in (self.a[0], self.b[0]))

    @property
    def shown(self) -> Difference:
        """The metric whose largest differences are shown."""
        return next((found for found in self.differences if found.metric.name == "lpips"), self.differences[0])


def compare_models(run: Path, a: str, b: str) -> tuple[Measurements, list[Comparison]]:
    """Compare two models of one run, named ``srflow``, or ``srflow-t0.8`` where there are several temperatures.

    Raises CompareError for a name that is not there or means several, and SRBenchError where the folder is no run.
    """
    measurements = read_runs([run])
    rows = _by_setting(measurements.runs[0])
    ours, theirs = _chosen(rows, a, run), _chosen(rows, b, run)
    if ours == theirs:
        raise CompareError(f"{a} and {b} are the same rows of {run}; name two models")
    return measurements, [_compare(ours, theirs, measurements.manifest.metrics)]


def compare_runs(a: Path, b: Path) -> tuple[Measurements, list[Comparison]]:
    """Compare every model of run A with the model of the same label and temperature in run B.

    Where each run holds one model at one temperature, these two, whatever they are called. Raises CompareError where
    nothing can be paired, MergeError where the protocols disagree, SRBenchError where a folder is no run.
    """
    for path in (a, b):
        if not path.is_dir():
            raise CompareError(f"{path}: no such folder; to compare two models of one run, name it: --run RUN")
    measurements = read_runs([a, b])
    if len(measurements.runs) == 1:
        raise CompareError(f"{a} and {b} are one run; name two models of it: srbench compare MODEL MODEL --run {a}")
    ours, theirs = map(_by_setting, measurements.runs)
    pairs = [(ours[setting], theirs[setting]) for setting in ours if setting in theirs]
    if not pairs and len(ours) == len(theirs) == 1:
        pairs = list(zip(ours.values(), theirs.values(), strict=True))
    if not pairs:
        raise CompareError(f"no model is in both runs: {', '.join(ours)} against {', '.join(theirs)}")
    return measurements, [_compare(*pair, measurements.manifest.metrics) for pair in pairs]


def write_comparison(measurements: Measurements, comparison: Comparison) -> Path:
    """Write ``compare/A-B/compare.md`` and its strips into the folder of the (first) run; returns compare.md."""
    folder = measurements.runs[0].path
    with writing(folder):
        out = ReportFolder(folder, f"compare/{comparison.folder}")
        text = _markdown(measurements, comparison, _examples(measurements, comparison, out))
        path = out.write("compare.md", text.encode())
        out.finish()
    return path


def _examples(measurements: Measurements, comparison: Comparison, out: ReportFolder) -> list[str]:
    """Strips of the images that differ most, written; as Markdown."""
    gains = comparison.shown.gains
    names = sorted(gains, key=lambda name: -abs(gains[name]))[:SHOWN]
    rows = {name: [row for row in (*comparison.a, *comparison.b) if row.image == name] for name in names}
    pictures = []
    for name in names:
        if measurements.pair(name) and all(map(measurements.outputs, rows[name])):
            example = open_example(measurements, name, rows[name])
            out.write(f"{name}.png", example_png(example, example.answers, comparison.shown.metric))
            difference = printed(comparison.shown.by_picture[name], comparison.shown.metric)
            pictures.append(f"{markdown.escape(name)}: {difference}\n\n{markdown.picture(name, f'{name}.png')}\n")
    return pictures


def terminal_table(comparison: Comparison) -> Table:
    """The differences for the terminal; what is supported is bold."""
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, header_style="")
    for title in _HEADERS:
        lines = title.replace("% ", "%\n").replace("p (", "p\n(")
        table.add_column(lines, justify="left" if title in ("metric", "better") else "right", no_wrap=True)
    for cells, difference in zip(_cells(comparison), comparison.differences, strict=True):
        table.add_row(*(Text(cell, "bold" if difference.better else "") for cell in cells))
    return table


_HEADERS = ("metric", "A", "B", "A - B", "95 % interval", "p", "p (Holm)", "wins", "ties", "losses", "n", "better")


def _cells(comparison: Comparison) -> list[list[str]]:
    lines = []
    for found in comparison.differences:
        metric = found.metric
        interval = "" if math.isnan(found.low) else f"{printed(found.low, metric)} to {printed(found.high, metric)}"
        lines.append(
            [
                header(metric),
                *(printed(value, metric) for value in (found.mean_a, found.mean_b, found.mean)),
                interval,
                _p(found.p),
                _p(found.p_holm),
                *map(str, found.outcomes),
                str(len(found.by_picture)),
                ("", comparison.labels[0], comparison.labels[1])[found.better],
            ]
        )
    return lines


def _markdown(measurements: Measurements, comparison: Comparison, pictures: Sequence[str]) -> str:
    a, b = map(markdown.escape, comparison.labels)
    lines = [[markdown.escape(cell) for cell in cells] for cells in _cells(comparison)]
    left_out = [f"{found.metric.title} {found.left_out}" for found in comparison.differences if found.left_out]
    protocol, folders = measurements.protocol, [run.path.name for run in measurements.runs]
    parts = [
        f"# {a} against {b}\n",
        f"A is {a}, B is {b}; {len(measurements.images)} images of {markdown.code(protocol.dataset)}, "
        f"{protocol.scale}x, protocol {markdown.code(protocol.suite)}, "
        f"from {' and '.join(map(markdown.code, folders))}.\n",
        markdown.table(_HEADERS, lines) + "\n",
        _EXPLANATION,
    ]
    if left_out:
        parts.append(f"> Pictures left out, because a value is not finite: {markdown.escape(', '.join(left_out))}.\n")
    parts += [
        "## Where they differ most\n",
        markdown.table(("metric", "A better by", "B better by"), _extremes(comparison), 3),
    ]
    if pictures:
        title = markdown.escape(header(comparison.shown.metric))
        parts += [f"\nThe largest differences A - B in {title}, zoomed where the two differ most.\n", *pictures]
    return "\n".join(parts).rstrip("\n") + "\n"


_EXPLANATION = """\
↑ higher is better, ↓ lower is better. A and B are means over the n pictures for which both have a value, A - B is the
mean of the paired differences with its 95 % interval (BCa bootstrap over pictures). p is that of a paired permutation
test, two-sided: all sign changes up to 13 pictures, 9999 random ones above. p (Holm) is corrected for the number of
metrics; where it is below 0.05, the last column names the better one. Wins, ties and losses count pictures for A. A
model with one answer has no spread that could be compared.
"""


def _extremes(comparison: Comparison) -> list[list[str]]:
    """For every metric the picture on which each is better by most."""
    lines = []
    for found in comparison.differences:
        line = [markdown.escape(header(found.metric))]
        for sign in (1, -1):
            name, gain = max(
                ((name, sign * gain) for name, gain in found.gains.items()), key=lambda pair: pair[1], default=("", 0)
            )
            line.append(f"{printed(gain, found.metric)} ({markdown.escape(name)})" if gain > 0 else "–")
        lines.append(line)
    return lines


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _by_setting(run: Run) -> dict[str, tuple[Row, ...]]:
    """The rows of every model and temperature, under the labels that the run itself uses."""
    found: dict[str, list[Row]] = {}
    for row in run.rows:
        found.setdefault(setting_folder(run.labels[row.model], row.temperature), []).append(row)
    return {setting: tuple(rows) for setting, rows in found.items()}


def _chosen(rows: dict[str, tuple[Row, ...]], name: str, run: Path) -> tuple[Row, ...]:
    if name in rows:
        return rows[name]
    of_model = [setting for setting, found in rows.items() if found[0].model == name]
    if len(of_model) > 1:
        raise CompareError(f"{name} has several temperatures in {run}; choose from {', '.join(of_model)}")
    if not of_model:
        raise CompareError(f"{run}: {unknown('model', name, rows)}")
    return rows[of_model[0]]


def _compare(a: Sequence[Row], b: Sequence[Row], metrics: Sequence[MetricFacts]) -> Comparison:
    differences = [_difference(a, b, metric) for metric in metrics if _has_spread(a, metric) and _has_spread(b, metric)]
    if not differences:
        raise CompareError(f"{a[0].model} and {b[0].model} have no metric that could be compared; measure one more")
    corrected = holm([found.p for found in differences]).tolist()
    differences = [replace(found, p_holm=p) for found, p in zip(differences, corrected, strict=True)]
    return Comparison(tuple(a), tuple(b), tuple(differences))


def _has_spread(rows: Sequence[Row], metric: MetricFacts) -> bool:
    """Not so where only zeros could win: the spread of a model with one answer."""
    return not metric.higher_is_better or any(np.any(row.values.get(metric.name, 0.0)) for row in rows)


def _difference(a: Sequence[Row], b: Sequence[Row], metric: MetricFacts) -> Difference:
    ours, theirs = ({row.image: float(np.mean(row.values.get(metric.name, math.nan))) for row in rows} for rows in (a, b))
    common = [name for name in ours if name in theirs]
    finite = [name for name in common if math.isfinite(ours[name]) and math.isfinite(theirs[name])]
    by_picture = {name: ours[name] - theirs[name] for name in finite}
    values = list(by_picture.values())
    mean_a, mean_b = (fmean(side[name] for name in finite) if finite else math.nan for side in (ours, theirs))
    low, high = mean_interval(values)
    p = paired_p_value(values)
    return Difference(metric, mean_a, mean_b, by_picture, len(common) - len(finite), low, high, p, p)
