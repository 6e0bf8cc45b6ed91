"""``srbench run --dry-run``: the work left, with estimated time and disk space."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean

from srbench.benchmark.checkpoints import require_memory, weights_bytes
from srbench.benchmark.opened import OpenedRequest, open_request
from srbench.benchmark.plan import Task, plan, plan_of_many, probed
from srbench.benchmark.run import extended, measurable, sampled_checkpoints
from srbench.benchmark.sampler import Sampler, read_pair
from srbench.benchmark.scorer import Scorer
from srbench.benchmark.worker import reopened_metrics
from srbench.images.io import encode_png, quantize
from srbench.interfaces import ImagePair, SRBenchError
from srbench.metrics.loading import LoadedMetric
from srbench.models.inference import choose_device
from srbench.run_folder.folder import check_folder
from srbench.run_folder.location import folder_of
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import ImageDigest, SampleRecord
from srbench.run_folder.request import RunSpec
from srbench.words import amount, number_of

QUICK = 5.0
"""Seconds for an image below which it is timed again."""


def estimate(spec: RunSpec) -> Iterator[str]:
    """Yield lines that state the items requested, the items left, and the estimated time and disk space.

    Every model with work left upscales one image, which is then measured; time and size are scaled by the number of
    pixels. Writes nothing. Raises SRBenchError if the run could not start.
    """
    request = open_request(spec)
    path = folder_of(spec, request.joint_labels, request.manifest())
    check_folder(path)
    folder = extended(request, path)
    loaded = {metric.info.name: metric for metric in request.loaded_metrics}
    all_metrics = measurable(folder.manifest, request.metrics, loaded)
    metrics = [metric.name for metric in all_metrics if metric.is_of_images]
    of_many = [metric for metric in all_metrics if not metric.is_of_images and spec.shard is None]
    tasks = plan(folder, all_metrics, request)
    unloaded = sampled_checkpoints(folder.manifest, tasks, but=request.loaded_models)
    require_memory(unloaded, choose_device(spec.device))
    yield f"folder: {path}{'' if path.exists() else ' (new)'}"
    yield (
        f"The command asks for {number_of(len(request.settings), 'setting')} on "
        f"{number_of(len(request.images), 'image')}: {number_of(request.items, 'item')}."
    )
    if checkpoints := [model for model in request.models.values() if model.checkpoint]:
        memory = amount(sum(map(weights_bytes, checkpoints)), "B")
        yield f"weights of {number_of(len(checkpoints), 'checkpoint')}: {memory} of memory, in each process"
    yield from (f"cannot be loaded: {fault}" for fault in request.faults)
    yield from (f"cannot be read: {task.fault}" for task in tasks if task.fault)
    to_sample = Counter(item.setting for task in tasks for item in task.items if item.key)
    to_measure = sum(not item.key for task in tasks for item in task.items)
    lacking = {(task.setting, task.metric.title) for task in plan_of_many(folder, of_many)}
    lacking |= {(setting, metric.title) for setting in to_sample for metric in of_many}
    if not tasks and not lacking:
        yield "Nothing is left to do."
        return
    yield f"Left: {to_sample.total()} to sample and measure, {to_measure} sampled but not fully measured."
    if lacking:
        titles = [metric.title for metric in of_many if metric.title in {title for _, title in lacking}]
        number = len({setting for setting, _ in lacking})
        yield f"  {', '.join(titles)} of {number_of(number, 'setting')}, whose time is not estimated"
    if not tasks:
        return
    try:
        pairs = _pairs(request, tasks)
        reopened = reopened_metrics(folder.manifest, [name for name in metrics if name not in loaded])
        opened = [metric for name, metric in loaded.items() if name in metrics] + reopened
        cost = _SettingCost(
            Sampler(folder.manifest, choose_device(spec.device), request.loaded_models), opened, pairs[0]
        )
        scale = fmean(pair.lr[0].numel() for pair in pairs) / pairs[0].lr[0].numel()
        minutes = megabytes = 0.0
        for setting, count in to_sample.items():
            seconds, size = cost.of(setting)
            yield f"  {setting.folder}: {count} x {scale * seconds:.1f} s"
            minutes += count * scale * seconds / 60
            megabytes += count * scale * size / 2**20
    except SRBenchError as error:
        yield f"cannot estimate the time: {error}"
        return
    yield f"estimated: {minutes:.1f} minutes in one process and {megabytes:.0f} MB, without the report"


def _pairs(request: OpenedRequest, tasks: Sequence[Task]) -> list[ImagePair]:
    """Read a few pairs with work left. Raises SRBenchError if none can be read."""
    pairs = []
    error = SRBenchError(f"none of the images is in {request.dataset.name}")
    for task in probed(tasks):
        try:
            pairs.append(read_pair(request.dataset, task.image))
        except SRBenchError as fault:
            error = fault
    if not pairs:
        raise error
    return pairs


class _SettingCost:
    """Measures seconds and bytes that a setting takes for one pair."""

    def __init__(self, sampler: Sampler, metrics: Sequence[LoadedMetric], pair: ImagePair) -> None:
        self.pair, self.sampler, self.scorer = pair, sampler, Scorer(metrics, sampler.device)

    def of(self, setting: Setting) -> tuple[float, float]:
        """Return seconds to sample and measure, and bytes of the saved outputs. Raises SRBenchError.

        If that is quick, the second time counts: the first includes what torch loads and chooses.
        """
        seconds, size = self._timed(setting)
        return self._timed(setting) if seconds < QUICK else (seconds, size)

    def _timed(self, setting: Setting) -> tuple[float, float]:
        protocol = self.sampler.manifest.protocol
        model = self.sampler.model(setting.model).model  # loaded before the clock starts: once, not for every image
        start = time.perf_counter()
        output = self.sampler.sample(model, self.pair, setting.temperature)
        images = quantize(output.images, protocol.quantize)
        record = SampleRecord(
            key="",
            image=self.pair.name,
            invocation=0,
            error="",
            model=setting.model,
            temperature=setting.temperature,
            source="",
            outputs=tuple(ImageDigest("", None) for _ in images),
            seconds=output.seconds,
            peak_memory_mb=None,
        )
        names = [metric.info.name for metric in self.scorer.metrics]
        for _ in self.scorer.score(record, self.pair, images, output.images, names, lambda: model):
            pass
        saved = min(len(images), protocol.kept)
        return time.perf_counter() - start, saved * len(encode_png(images[0]))
