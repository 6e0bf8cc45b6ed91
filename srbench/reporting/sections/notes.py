"""Notes of a report: caveats that a reader must know before comparing two cells of the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import DEPENDENT, few_units_sentence, printed
from srbench.judging.sign_flips import FEWEST_UNITS
from srbench.models import RUNTIMES
from srbench.reporting.results import Runs, mean_of, verdict_on
from srbench.reporting.tables.table import Table, of_lr, single_values
from srbench.run_folder.measurements import Measurement, failures_of, is_of_samples
from srbench.run_folder.values import is_missing
from srbench.words import joined, number_of

_NAMED = 5
"""Largest number of images named in a note."""


def notes_of(results: Runs, table: Table) -> list[str]:
    """Return sentences on missing images and values, outliers, failures, differing machines and so on."""
    return [
        *filter(None, [table.left_out]),
        *_contradicted(results),
        *_lacking(results),
        *_without_hr(results),
        *_cropped(results),
        *_in_groups(results),
        *_missing_shards(results),
        *_coverage(results),
        *_outdated(results),
        *_in_training(results),
        *(f"Failed: {failure}" for run in results.runs for failure in failures_of(run.folder, run.label)),
        *_foreign(results),
        *_missing(results, table),
        *_of_many(results, table),
        *_outliers(results),
        *_hardware(results),
        *_environments(results),
        *_outside_torch(results),
        *_seeds(results),
        *_too_few(table),
        *_saturated(results),
        *projected(table),
        *_without_interval(table),
        *_other_samples(results),
        *_lr_of_precomputed(results),
    ]


def urgent_notes(results: Runs) -> list[str]:
    """Return the notes that a terminal shows beneath the table too."""
    return [*_contradicted(results), *_outdated(results), *_in_training(results), *_other_samples(results)]


def _contradicted(results: Runs) -> Iterator[str]:
    """Note the contradicted ones of several runs, which the report of a folder leaves out."""
    if len(results.runs) > 1:
        for run in results.runs:
            verdict, reason = verdict_on(run.folder)
            if verdict == "contradicted":
                yield f"{run.name} is contradicted: {reason}."


def missing_maps(titles: Sequence[str]) -> Iterator[str]:
    """Note metrics of the user's code whose maps the report lacks."""
    if titles:
        yield (
            f"Maps of {joined(titles)} are missing: srbench run and srbench score draw them, srbench report runs no "
            "code that a run names."
        )


def _lacking(results: Runs) -> Iterator[str]:
    """Note metrics that only some runs have."""
    if results.lacking:
        yield f"Metrics that not all runs have, with a dash in the rows of a run without them: {results.lacking}."


def _without_hr(results: Runs) -> Iterator[str]:
    if not results.has_hr:
        yield f"There are no HR images: the columns of {results.protocol.suite} that need them are left out."


def _cropped(results: Runs) -> Iterator[str]:
    """Note HR images whose sides are not multiples of the scale."""
    sizes = {name: size for name in results.images if (size := results.uncropped(name))}
    if sizes:
        scale = results.protocol.scale
        name, (height, width) = next(iter(sizes.items()))
        yield (
            f"HR is cropped at the bottom and right to multiples of {scale} before anything is computed: {len(sizes)} "
            f"of {len(results.images)} images, such as {name}, from {width}x{height} to {width - width % scale}x"
            f"{height - height % scale} pixels."
        )


def _in_groups(results: Runs) -> Iterator[str]:
    """Note that images of a group count separately, although they may be much alike."""
    if results.values.is_dependent:
        yield (f"The {results.manifest.extent} count one by one, without tests and intervals: {DEPENDENT}.")


def _missing_shards(results: Runs) -> Iterator[str]:
    if missing := results.manifest.missing_shards:
        yield f"This is a part of a run: {missing}."


def _coverage(results: Runs) -> Iterator[str]:
    images: dict[str, set[str]] = {}
    for run in results.runs:
        for setting in run.folder.manifest.settings:
            images.setdefault(run.label(setting), set())
    for row in results.measurements:
        images.setdefault(row.setting.label, set()).add(row.image)
    planned = len(results.images)
    counts = ", ".join(f"{label} {len(names)}" for label, names in images.items())
    if len(set(map(frozenset, images.values()))) > 1:
        yield (
            "Models were measured on different images, so their means cannot be compared; bold and p use only the "
            f"images that all models share. Measured of {planned} images: {counts}."
        )
    elif len(next(iter(images.values()))) < planned:
        yield f"Not all of the {planned} images are measured: {counts}."


def _outdated(results: Runs) -> Iterator[str]:
    """Note outputs of earlier code, weights or images, which are left out of all means."""
    for run in results.runs:
        samples = ((setting, image) for image, known in run.folder.by_image.items() for setting in known.samples)
        counts = Counter(run.label(setting) for setting, image in samples if run.folder.sample(setting, image) is None)
        if counts:
            listed = ", ".join(f"{count} of {label}" for label, count in counts.items())
            yield f"Left out, because code, weights or images have changed since: {listed}. Run them again."


def _in_training(results: Runs) -> Iterator[str]:
    """Note models that were trained on images of the run, as far as their weights state the training images."""
    stated: dict[str, dict[str, bool]] = {}
    for row in results.measurements:
        if row.sample.in_training is not None:
            stated.setdefault(row.setting.model, {})[row.image] = row.sample.in_training
    models: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    for label, images in stated.items():
        if trained := tuple(image for image, was_trained_on in images.items() if was_trained_on):
            models.setdefault((len(images), trained), []).append(label)
    for (total, trained), labels in models.items():
        was = "was" if len(trained) == 1 else "were"
        yield (
            f"{len(trained)} of {number_of(total, 'image')} {was} in the training of {joined(labels)}, such as "
            f"{trained[0]}: values on new images may be worse."
        )


def _foreign(results: Runs) -> Iterator[str]:
    """Note image files that were changed after they were measured."""
    if foreign := results.foreign_images():
        shown = ", ".join(f"{file.parent.name}/{file.name}" for file in foreign[:_NAMED])
        more = f" and {len(foreign) - _NAMED} more, which `srbench verify` lists" if len(foreign) > _NAMED else ""
        yield f"Not shown, because the files were changed after they were measured: {shown}{more}."


def _missing(results: Runs, table: Table) -> Iterator[str]:
    """Note missing values by metric and setting, and non-finite values."""
    missing = Counter(
        f"{metric.title} of {row.setting.label}"
        for row in results.measurements
        for metric in results.manifest.of_images
        if metric.name not in row.values
    )
    if missing:
        listed = ", ".join(f"{column} on {number_of(count, 'image')}" for column, count in missing.items())
        yield f"Values are missing, and left out of the means: {listed}."
    unusable = [f"{line.not_finite} of {line.label}" for line in table.lines if line.not_finite]
    if unusable:
        reason = "missing or non-finite" if missing else "non-finite"
        yield (
            f"Images with a {reason} value (an output equal to HR has an infinite PSNR) are left out of the mean of "
            f"that row and, if the row is compared, of all tests of that column: {', '.join(unusable)}."
        )


def _of_many(results: Runs, table: Table) -> Iterator[str]:
    """Note columns that are not of images, and rows that lack them although a run of theirs has the column."""
    if words := single_values(table.columns):
        yield f"A single value, without interval and test: {words}."
    of_groups = [metric for metric in table.columns if metric.subject == "group"]
    if of_groups:
        titles = joined([metric.title for metric in of_groups])
        yield (
            f"Means, intervals and tests of {titles} are over groups of images, such as clips, which have a value each."
        )
    for metric in table.columns:
        if metric.is_of_images:
            continue
        values = {
            line.label: table.values.of.get((line.setting, metric.name), {})
            for line in table.lines
            if any(metric.name in run.metrics for run in results.by_setting[line.setting])
        }
        lacking = [label for label, own in values.items() if not own or any(map(is_missing, own.values()))]
        if lacking:
            yield (
                f"{metric.title} of {joined(lacking)} is not measured on these images; add it with srbench score RUN "
                f"--metrics {metric.spec}."
            )


def _hardware(results: Runs) -> Iterator[str]:
    if len(results.machines) > 1:
        yield f"Measured on different machines, so times and memory cannot be compared: {'; '.join(results.machines)}."


def _environments(results: Runs) -> Iterator[str]:
    """Note facts of the environment that differ between outputs, or between values."""
    known = {key: record.facts for run in results.runs for key, record in run.folder.environments.items()}
    by_stage = {
        "Sampled": {row.sample.environment for row in results.measurements},
        "Measured": {key for row in results.measurements for key in row.measured_in},
    }
    for stage, keys in by_stage.items():
        facts = [known[key] for key in keys if key in known]
        names = dict.fromkeys(chain(*facts))
        values = {name: sorted({environment.get(name, "unset") for environment in facts}) for name in names}
        for name in RUNTIMES:
            values[name] = sorted({environment[name] for environment in facts if name in environment})
        differing = [f"{name} {' and '.join(texts)}" for name, texts in values.items() if len(texts) > 1]
        if differing:
            yield f"{stage} in different environments, so last digits may differ: {'; '.join(sorted(differing))}."


def _outside_torch(results: Runs) -> Iterator[str]:
    """Note what computed the outputs of networks outside torch."""
    known = {key: record.facts for run in results.runs for key, record in run.folder.environments.items()}
    computed: dict[tuple[str, str], dict[str, None]] = {}
    for row in results.measurements:
        facts = known.get(row.sample.environment, {})
        for name in RUNTIMES:
            if name in facts:
                runtime = f"{name} {facts[name]}"
                computed.setdefault((runtime, facts.get("device", "cpu")), {})[row.setting.label] = None
    for (runtime, device), labels in computed.items():
        remark = ""
        if device != "cpu" and runtime.endswith(("CPU", "CPUExecutionProvider")):
            remark = f", on the CPU and not on {device}, so times cannot be compared with those of other models"
        yield f"{runtime}, computed {joined([*labels])}{remark}."


def _outliers(results: Runs) -> Iterator[str]:
    """Note outputs with values far outside [0, 1]."""
    by_label: dict[str, list[Measurement]] = {}
    for row in results.measurements:
        if row.sample.outliers:
            by_label.setdefault(row.setting.label, []).append(row)
    for label, rows in by_label.items():
        counts = [f"{row.image} ({row.sample.outliers} of {row.samples})" for row in rows]
        more = f" and {len(counts) - _NAMED} more images (all in samples.jsonl)" if len(counts) > _NAMED else ""
        total = sum(row.sample.outliers or 0 for row in rows)
        listed = ", ".join(counts[:_NAMED])
        outputs = number_of(total, "output")
        yield f"{outputs} of {label} had values below -0.5 or above 1.5 before clipping: {listed}{more}."


def _seeds(results: Runs) -> Iterator[str]:
    """Note different seeds of runs whose outputs are samples."""
    sampled = [run for run in results.runs if any(row.sample.drawn for row in run.measurements)]
    seeds = [run.folder.manifest.protocol.seed for run in sampled]
    if len(set(seeds)) > 1:
        listed = ", ".join(f"{run.name} {seed}" for run, seed in zip(sampled, seeds, strict=True))
        yield f"Samples of different seeds: {listed}."


def _too_few(table: Table) -> Iterator[str]:
    """Note too few images or groups for small differences among many rows; the summary has those for any verdict."""
    tested = [table.best[metric.name].units for metric in table.columns if table.values.permits_test(metric)]
    n = max((0 if units is None else units.n for units in tested), default=0)
    if n >= FEWEST_UNITS:
        yield from filter(None, [few_units_sentence(len(table.models), n, table.unit)])


def projected(table: Table) -> Iterator[str]:
    """Note models whose LR-PSNR says nothing about the network."""
    labels = dict.fromkeys(line.setting.model for line in table.lines if line.is_projected)
    titles = [metric.title for metric in table.columns if of_lr(metric)]
    if labels and titles:
        measures = "measures" if len(titles) == 1 else "measure"
        yield (
            f"{joined(titles)} of {joined([*labels])} {measures} the projection onto LR, not the network: not compared."
        )


def _saturated(results: Runs) -> Iterator[str]:
    """Note images on which a metric is saturated and so cannot rank outputs."""
    for metric in results.manifest.of_images:
        worst = metric.saturates_at
        if worst is None:
            continue
        counts = Counter(
            row.setting.label
            for row in results.measurements
            if _reaches(float(printed(mean_of(row, metric), metric)), worst, metric)
        )
        if counts:
            listed = ", ".join(f"{label} on {number_of(count, 'image')}" for label, count in counts.items())
            yield f"{metric.title} is saturated at {worst:g}, its worst value, and cannot rank outputs: {listed}."


def _reaches(value: float, worst: float, metric: MetricInfo) -> bool:
    return value <= worst if metric.direction > 0 else value >= worst


def _without_interval(table: Table) -> Iterator[str]:
    """Note the rows without intervals, if others have them."""
    few = [f"{line.label} {line.n}" for line in table.lines if line.n < FEWEST_UNITS]
    if 0 < len(few) < len(table.lines) and any(map(table.values.permits_test, table.columns)):
        yield f"No 95 % interval is given for the mean of fewer than {FEWEST_UNITS} {table.unit}s: {', '.join(few)}."


def _lr_of_precomputed(results: Runs) -> Iterator[str]:
    """Note precomputed outputs that are compared with LR images made by this run."""
    labels = list(dict.fromkeys(row.setting.model for row in results.measurements if row.sample.source))
    compared = [metric.title for metric in results.metrics if of_lr(metric)]
    if labels and compared and results.protocol.lr.startswith("made from HR"):
        yield (
            f"{joined(compared)}: the LR images were made from HR by this run; if the outputs of {joined(labels)} came "
            "from other LR images, name their folder with --lr."
        )


def _other_samples(results: Runs) -> Iterator[str]:
    """Note precomputed results with a different number of samples than the run, which lack some columns."""
    for run in results.runs:
        requested = run.protocol.samples
        counts = {row.setting.label: row.samples for row in run.measurements if row.samples not in (1, requested)}
        own = [metric for metric in results.metrics if metric.name in run.metrics]
        without = [metric.title for metric in own if is_of_samples(metric, requested)]
        if counts and without:
            listed = ", ".join(f"{label} {count}" for label, count in counts.items())
            again = (
                f"; --samples {next(iter(counts.values()))} with a new --out measures them"
                if len(set(counts.values())) == 1
                else ""
            )
            yield f"No {joined(without)} for models without {requested} samples per image ({listed}){again}."
