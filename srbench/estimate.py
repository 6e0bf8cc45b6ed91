"""``srbench run --dry-run``: what would be done, and what it would cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import fmean

from srbench.facts import setting_folder
from srbench.images import encode_png, quantize_floor
from srbench.inference import Draw, is_stochastic, upscale
from srbench.plan import Bench, RunSpec, open_bench
from srbench.registry import LoadedMetric
from srbench.run import folder_of, planned
from srbench.run_folder import RunFolder
from srbench.sampling import KEPT_SAMPLES
from srbench.scoring import measure
from srbench.tasks import Task
from srbench.types import ImagePair, SRBenchError


def estimate(spec: RunSpec) -> Iterator[str]:
    """Lines for a reader: the items, what is done of them, and estimated minutes and disk space of the rest.

    Times are those of the run folder where it has some, else one image is upscaled and measured to find out. Nothing is
    written. Raises SRBenchError where the run could not start.
    """
    bench = open_bench(spec)
    path = folder_of(bench)
    folder, tasks, metrics = planned(bench, path)
    settings = bench.manifest().settings
    items = sum(len(bench.manifest().planned(setting)) for setting in settings)
    left = sum(len(task.samplings) for task in tasks)
    to_score = sum(len(task.scorings) for task in tasks)
    yield f"folder: {path}{'' if path.exists() else ' (new)'}"
    yield f"items: {items} ({len(settings)} settings), of which {items - left} are sampled"
    if to_score:
        yield f"sampled items that lack values: {to_score}"
    if not tasks:
        yield "nothing to do"
        return
    yield f"left to sample: {left}, to score: {left + to_score}, on {len(tasks)} images"
    yield from _costs(bench, folder, tasks, metrics)


def _costs(bench: Bench, folder: RunFolder, tasks: list[Task], metrics: tuple[LoadedMetric, ...]) -> Iterator[str]:
    pair = _first_readable(bench, tasks)
    if pair is None:
        yield "no time can be estimated: no image can be read"
        return
    area = _mean_area(bench, tasks) / pair.hr[0].numel()
    counts: dict[tuple[str, float | None], int] = {}
    for task in tasks:
        for sampling in task.samplings:
            place = sampling.setting.model, sampling.setting.temperature
            counts[place] = counts.get(place, 0) + 1
    seconds, size = 0.0, 0.0
    for (label, temperature), count in counts.items():
        of_model, outputs = _seconds(bench, folder, label, temperature, pair)
        per_image = _metric_seconds(metrics, pair) * outputs
        seconds += count * area * (of_model + per_image)
        size += count * area * min(outputs, KEPT_SAMPLES) * len(encode_png(quantize_floor(pair.hr)))
        yield f"  {setting_folder(label, temperature)}: {area * of_model:.1f} s an image for the model, {count} images"
    seconds += sum(len(task.scorings) for task in tasks) * area * _metric_seconds(metrics, pair)
    yield f"estimated: {seconds / 60:.1f} minutes and {size / 2**20:.0f} MB on this machine, without the report"


def _seconds(
    bench: Bench, folder: RunFolder, label: str, temperature: float | None, pair: ImagePair
) -> tuple[float, int]:
    """Of a model for one image the size of the pair, and how many outputs it makes of it."""
    known = [
        one
        for one in folder.samples.values()
        if (one.model, one.temperature, one.failed) == (label, temperature, False)
    ]
    if known:
        return fmean(one.seconds for one in known), len(known[0].outputs)
    model = bench.models[label].model
    count = bench.spec.samples if is_stochastic(model) else 1
    output = upscale(model, pair.name, pair.lr, Draw(temperature or 0.0, count, 0, bench.spec.tile), bench.device)
    return output.seconds, len(output.images)


def _metric_seconds(metrics: tuple[LoadedMetric, ...], pair: ImagePair) -> float:
    """Of all metrics for one output the size of HR."""
    start = time.perf_counter()
    for metric in metrics:
        try:
            measure(metric.metric, pair.hr.flip(-1)[None], pair)
        except SRBenchError:
            continue
    return time.perf_counter() - start


def _first_readable(bench: Bench, tasks: list[Task]) -> ImagePair | None:
    for task in tasks:
        try:
            return bench.dataset.read(task.image)
        except SRBenchError:
            continue
    return None


def _mean_area(bench: Bench, tasks: list[Task]) -> float:
    """Pixels of HR, of some of the images."""
    areas = []
    for task in tasks[:: max(len(tasks) // 10, 1)]:
        try:
            areas.append(bench.dataset.read(task.image).hr[0].numel())
        except SRBenchError:
            continue
    return fmean(areas)
