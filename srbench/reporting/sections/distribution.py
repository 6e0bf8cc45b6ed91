"""The section of a report on samples as a distribution: proper scores, calibration and the number of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import spread_sentences, temperature_sentence
from srbench.judging.verdicts import best_rows, calibrations
from srbench.reporting.figures.plots import by_model
from srbench.reporting.figures.sample_plots import plots_of_samples
from srbench.reporting.figures.saved_samples import Sampler, saved_samplers
from srbench.reporting.generated_folder import Draft
from srbench.reporting.results import Runs
from srbench.reporting.sections.section import Section
from srbench.reporting.tables.summary import CRPS, ENERGY
from srbench.reporting.tables.table import Table
from srbench.run_folder.values import Values
from srbench.terminal.progress import Progress, silent
from srbench.words import joined


def distribution_section(results: Runs, table: Table, out: Draft, progress: Progress = silent) -> Section | None:
    """Return the section of a report; None for a table without CRPS and LPIPS energy. Its plots are not written yet.

    Raises SRBenchError if saved images have unequal sizes.
    """
    scores = [metric for metric in table.columns if metric.name in (CRPS, ENERGY)]
    if not scores:
        return None
    has_energy = any(metric.name == ENERGY for metric in scores)
    samplers, absent = saved_samplers(results, out, lpips=has_energy, progress=progress)
    samplers = [sampler for sampler in samplers if any(image.spread for image in sampler.images.values())]
    sentences = [*filter(None, [_temperatures(table, metric) for metric in scores])]
    sentences += sentences_on_spread(samplers, results.values)
    if absent:
        labels = joined([setting.label for setting in absent])
        sentences.append(
            f"Spread/skill, rank histograms and curves of {labels} are left out: they need HR and two or more saved "
            "samples of every image."
        )
    plots = plots_of_samples(table, scores, samplers)
    return Section("samples", "Samples as a distribution", sentences=sentences, plots=plots)


def _temperatures(table: Table, metric: MetricInfo) -> str:
    """Return the sentence on the temperature with the lowest score of each model measured at several temperatures."""
    models = {}
    for model, rows in by_model(table.lines).items():
        columns = {row: table.values.means(table.lines[row].setting, metric) for row in rows}
        at = {row: f"{table.lines[row].setting.temperature or 0:g}" for row in rows}
        models[model] = best_rows(columns, metric, table.values), at
    return temperature_sentence(metric, models)


def sentences_on_spread(samplers: Sequence[Sampler], values: Values) -> Iterator[str]:
    """Yield sentences on samplers that spread less than their error, more, or neither;
    and on those without a verdict.
    """
    rows = {
        sampler.setting.label: (
            {name: (image.spread, image.error) for name, image in sampler.images.items()},
            sampler.n,
        )
        for sampler in samplers
    }
    yield from spread_sentences(calibrations(rows, values), values.unit)
    if fewer := sorted({(sampler.n, sampler.measured) for sampler in samplers if sampler.n < sampler.measured}):
        counts = joined([f"the first {n} of {measured}" for n, measured in fewer])
        yield f"Spread/skill, rank histograms and curves are of the saved samples of an image, {counts}."
