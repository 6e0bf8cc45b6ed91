"""Comparison of two models on the same images: paired differences, their significance, and strips of the largest."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from rich.table import Table
from rich.text import Text

from srbench.judging.sentences import columns_of_comparison, comparison_sentence, p_text, printed
from srbench.judging.verdicts import Difference, difference_of
from srbench.reporting import ReportError
from srbench.reporting.figures.image_files import Example
from srbench.reporting.generated_folder import put_in_place
from srbench.reporting.results import Run, Runs, read_results
from srbench.reporting.tables.table import header, of_lr, table_of_runs
from srbench.reporting.tables.templating import rendered
from srbench.reporting.tables.terminal import empty_table
from srbench.run_folder.measurements import Measurement
from srbench.run_folder.records import digest
from srbench.run_folder.values import mean
from srbench.words import unknown

SHOWN = 4
"""Number of strips: of the images with the largest differences in perception, or else in the first metric."""


@dataclass(frozen=True)
class Comparison:
    """Two models at one temperature each."""

    results: Runs
    a: list[Measurement]
    b: list[Measurement]
    differences: list[Difference]

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of A and B."""
        return self.a[0].setting.label, self.b[0].setting.label

    @property
    def shown(self) -> Difference:
        """The metric that selects the images shown: the leading metric of perception, or else the first metric."""
        leading = (each for each in self.differences if each.metric.is_primary and each.metric.group == "Perception")
        return next(leading, self.differences[0])

    @property
    def explanation(self) -> str:
        """Explanation of the table."""
        return columns_of_comparison(self.differences, self.results.values.units)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        images_a, images_b = ({row.image for row in rows} for rows in (self.a, self.b))
        shared = None if images_a == images_b else len(images_a & images_b)
        return comparison_sentence(self.labels, self.differences, shared)

    def verdict(self, difference: Difference) -> str:
        """Label of the better model, or "undecided"; empty if the metric is not judged."""
        return "" if difference.verdict == "not judged" else ("undecided", *self.labels)[difference.better]


def compare_models(results: Runs, a: str, b: str) -> Comparison:
    """Compare two models of a run, named ``srflow``, or ``srflow-t0.8`` if there are several temperatures.

    Raises ReportError for an unknown or ambiguous name.
    """
    run = results.runs[0].folder.path
    rows = _by_setting(results.runs[0])
    rows_a, rows_b = _chosen(rows, a, run), _chosen(rows, b, run)
    if rows_a == rows_b:
        raise ReportError(f"{a} and {b} are the same rows of {run}; name two models")
    comparison = _compare(results, rows_a, rows_b)
    table = table_of_runs(results)
    places = {line.setting: row for row, line in enumerate(table.lines)}
    pair = places[rows_a[0].setting], places[rows_b[0].setting]
    differences = []
    for difference in comparison.differences:
        best = table.best[difference.metric.name]
        if len(best.pairs) > 1 and set(pair) <= set(best.means):
            better, worse = sorted(pair, key=best.ordered.index)
            is_marked = worse in best.beaten[better]
            difference = replace(difference, p_adjusted=best.p(*pair), is_marked=is_marked)
        differences.append(difference)
    return replace(comparison, differences=differences)


def compare_runs(a: Path, b: Path) -> list[Comparison]:
    """Compare every model of run A with the model of the same label and temperature in run B.

    Two runs of a single model at a single temperature are compared even if the labels differ. Raises ReportError if no
    models match or the protocols differ, SRBenchError if a folder is no run.
    """
    for path in (a, b):
        if not path.is_dir():
            raise ReportError(f"{path}: no such folder; to compare two models of one run, name it: --run RUN")
    results = read_results([a, b])
    if len(results.runs) == 1:
        raise ReportError(f"{a} and {b} are one run; name two models of it: srbench compare MODEL MODEL --run {a}")
    if results.lacking:
        warnings.warn(f"Only metrics of both runs are compared; left out: {results.lacking}.", stacklevel=2)
    rows_a, rows_b = map(_by_setting, results.runs)
    pairs = [(rows_a[setting], rows_b[setting]) for setting in rows_a if setting in rows_b]
    if not pairs and len(rows_a) == len(rows_b) == 1:
        pairs = list(zip(rows_a.values(), rows_b.values(), strict=True))
    if not pairs:
        raise ReportError(f"no model is in both runs: {', '.join(rows_a)} against {', '.join(rows_b)}")
    return [_compare(results, *pair) for pair in pairs]


def write_comparison(comparison: Comparison) -> Path:
    """Write compare.md and strips; return the path of compare.md.

    The folder is ``compare/A/B/`` of the run, or ``compare/RUN/A/B/`` of the second of two runs, where A and B are the
    names in their runs, and RUN is the name of the first, which stays as it is, and a digest of its path, as runs of
    other folders may have the same name and labels.
    """
    results, shown = comparison.results, comparison.shown
    strips: dict[str, bytes] = {}
    for name in sorted(shown.by_image, key=lambda name: -abs(shown.by_image[name]))[:SHOWN]:
        rows = [row for row in (*comparison.a, *comparison.b) if row.image == name]
        if shown.by_image[name] and results.pair(name) and all(map(results.outputs, rows)):
            strips[name] = Example(results, name, rows).strip_png(rows, [shown.metric])
    *others, run = results.runs
    names = [f"{other.folder.path.resolve().name}-{digest(str(other.folder.path.resolve()))[:8]}" for other in others]
    names += [rows[0].sample.setting.folder for rows in (comparison.a, comparison.b)]
    folder = run.folder.path.joinpath("compare", *names)
    images = {f"{name}.png": strip for name, strip in strips.items()}
    put_in_place(folder, images | {"compare.md": _markdown(comparison, list(strips)).encode()})
    return folder / "compare.md"


def terminal_table(comparison: Comparison) -> Table:
    """Return the table for the terminal, with rows that have a verdict in bold."""
    table = empty_table([], [])
    titles, *lines = _rows(comparison)
    for title in titles:
        table.add_column(
            title.replace("% ", "%\n"), justify="left" if title in ("metric", "verdict") else "right", no_wrap=True
        )
    for cells, difference in zip(lines, comparison.differences, strict=True):
        table.add_row(*(Text(cell, "bold" if difference.better else "") for cell in cells))
    return table


def _rows(comparison: Comparison) -> list[list[str]]:
    """Return the table as rows of text, the header first."""
    adjusted = ["p of all"] if any(not math.isnan(each.p_adjusted) for each in comparison.differences) else []
    rows = [["metric", "A", "B", "A - B", "verdict", "95 % interval", "p", *adjusted, "wins", "ties", "losses", "n"]]
    for difference in comparison.differences:
        metric, is_judged = difference.metric, difference.verdict != "not judged"
        means = [printed(value, metric) for value in (difference.mean_a, difference.mean_b, difference.mean)]
        ends = [printed(value, metric) for value in (difference.low, difference.high)]
        interval = "" if math.isnan(difference.low) else " to ".join(ends)
        outcomes = map(str, difference.outcomes) if is_judged else "–––"
        p = ["–" if difference.is_projected else p_text(difference.p)]
        if adjusted:
            p.append(p_text(difference.p_adjusted))
        n = str(difference.n) if metric.permits_test else "–"
        rows.append([header(metric), *means, comparison.verdict(difference), interval, *p, *outcomes, n])
    return rows


def _markdown(comparison: Comparison, strips: Sequence[str]) -> str:
    results, shown = comparison.results, comparison.shown
    by_image = {name: printed(value, shown.metric) for name, value in shown.by_image.items()}
    gains = shown.gains
    order = sorted(gains, key=lambda name: -gains[name])
    text = rendered(
        "compare.md.jinja",
        results=results,
        protocol=results.protocol,
        a=comparison.labels[0],
        b=comparison.labels[1],
        verdict=comparison.sentence,
        columns=comparison.explanation,
        rows=_rows(comparison),
        left_out=[
            f"{each.metric.title} {len(each.units.left_out)}"
            for each in comparison.differences
            if each.units is not None and each.units.left_out
        ],
        shown=shown,
        strips=strips,
        by_image=by_image,
        gains=[["image", "A - B"], *([name, by_image[name]] for name in order)],
    )
    return f"{text}\n"


def _by_setting(run: Run) -> dict[str, list[Measurement]]:
    """Return the rows of every setting, by its name in the run folder."""
    return {name: list(rows) for name, rows in groupby(run.measurements, key=lambda row: row.sample.setting.folder)}


def _chosen(rows: dict[str, list[Measurement]], name: str, run: Path) -> list[Measurement]:
    if name in rows:
        return rows[name]
    of_model = [setting for setting, own in rows.items() if own[0].setting.model == name]
    if len(of_model) > 1:
        raise ReportError(f"{name} has several temperatures in {run}; choose from {', '.join(of_model)}")
    if not of_model:
        raise ReportError(f"{run}: {unknown('model', name, rows)}")
    return rows[of_model[0]]


def _compare(results: Runs, a: list[Measurement], b: list[Measurement]) -> Comparison:
    if not {row.image for row in a} & {row.image for row in b}:
        where, labels = results.runs[0].folder.path, (side[0].setting.label for side in (a, b))
        raise ReportError(f"{where}: {' and '.join(labels)} have no image in common; measure both on the same images")
    run_a, run_b = results.runs[0], results.runs[-1]
    projected = {model.label for model in results.models if model.projected}
    is_projected = not projected.isdisjoint({a[0].setting.model, b[0].setting.model})
    differences = []
    for metric in results.metrics:
        if any(metric.name not in run.metrics for run in results.runs):
            continue
        # each side as its run measured it: two runs with equal results are one row of a table, which fills its gaps
        values_a, values_b = (
            {subject: mean(value) for subject, value in run.values_of(metric.name, rows).items()}
            for run, rows in ((run_a, a), (run_b, b))
        )
        # a model with a single output has no diversity to compare
        if metric.direction or (any(values_a.values()) and any(values_b.values())):
            difference = difference_of(values_a, values_b, metric, results.values)
            differences.append(replace(difference, is_projected=is_projected and of_lr(metric)))
    if not differences:
        models = f"{a[0].setting.model} and {b[0].setting.model}"
        raise ReportError(f"{models} have no metric that could be compared; measure one more")
    return Comparison(results, a, b, differences)
