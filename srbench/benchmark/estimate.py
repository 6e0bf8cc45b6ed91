"""``srbench run --dry-run``: what would be done, and what it would cost."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from srbench.benchmark.request import Bench, RunSpec, open_bench
from srbench.benchmark.run import extended, folder_of
from srbench.benchmark.sampling import read_pair
from srbench.benchmark.scoring import measure
from srbench.benchmark.tasks import Task, lacking, plan_tasks
from srbench.images.io import encode_png, quantize_floor
from srbench.images.resize import upscale as upscale_bicubic
from srbench.interfaces import SRBenchError
from srbench.models.inference import Draw, upscale
from srbench.plugins.registry import LoadedMetric
from srbench.run_folder.folder import RunFolder, check_folder
from srbench.run_folder.protocol import Setting
from srbench.words import number_of

LOOKED_AT = 10
"""Number of images whose mean size stands for that of all."""


def estimate(spec: RunSpec) -> Iterator[str]:
    """Lines for a reader: the items, how many are done, and estimated minutes and disk space for the rest.

    Times are those in the run folder if it has any; otherwise one image is upscaled and measured. Nothing is written.
    Raises SRBenchError if the run could not start.
    """
    bench = open_bench(spec)
    path = folder_of(bench)
    check_folder(path)
    bench, folder, metrics = extended(bench, path)
    tasks = plan_tasks(folder, metrics, bench)
    settings = Counter(item.setting for task in tasks for item in task.items if item.key)
    left = settings.total()
    to_score = sum(len(task.items) for task in tasks) - left
    lost = [task for task in tasks if task.fault]
    yield f"folder: {path}{'' if path.exists() else ' (new)'}"
    of = f"{number_of(len(bench.settings), 'setting')} on {number_of(len(bench.images), 'image')}"
    yield f"The command asks for {of}: {number_of(bench.items, 'item')}."
    yield from (f"cannot be read: {task.fault}" for task in lost)
    if not left and not to_score:
        yield "Nothing is left to do."
        return
    asked = {(setting, image) for setting in bench.settings for image in bench.images}
    unfinished = sum((item.setting, task.image) in asked for task in tasks for item in task.items)
    yield _left(left, to_score, bench.items - unfinished - len(lost) * len(bench.settings))
    try:
        costs = _Costs(bench, folder, metrics, tasks)
        for setting, count in settings.items():
            yield f"  {setting.folder}: {count} x {costs.sampling(setting):.1f} s for the model"
        minutes, size = sum(map(costs.seconds, tasks)) / 60, sum(map(costs.bytes, tasks)) / 2**20
    except SRBenchError as error:
        yield f"cannot estimate the time: {error}"
        return
    yield f"estimated: {minutes:.1f} minutes and {size:.0f} MB on this machine, without the report"


def _left(to_sample: int, to_score: int, done: int) -> str:
    """Sentence about what is still to be done, and what is there."""
    parts = []
    if to_sample:
        parts.append(f"{number_of(to_sample, 'is', 'are')} still to be sampled and measured")
    if to_score:
        parts.append(f"{number_of(to_score, 'is', 'are')} sampled and {'lacks' if to_score == 1 else 'lack'} values")
    if done:
        parts.append(f"{number_of(done, 'is', 'are')} finished")
    elif not to_score:
        parts.append("nothing is sampled yet")
    return f"{'; '.join(parts)}."


class _Costs:
    """Seconds and bytes of an image of mean size, known from the run folder or measured."""

    def __init__(self, bench: Bench, folder: RunFolder, metrics: Sequence[LoadedMetric], tasks: Sequence[Task]) -> None:
        """Read some images. Raises SRBenchError if none can be read."""
        self.bench, self.folder, self.metrics = bench, folder, metrics
        pairs, error = [], SRBenchError(f"none of their images is in {bench.dataset.name}")
        names = set(bench.dataset)
        here = [task for task in tasks if task.image in names]  # others are scored from what the folder keeps
        for task in here[:: max(len(here) // LOOKED_AT, 1)]:
            try:
                pairs.append(read_pair(bench.dataset, task.image))
            except SRBenchError as fault:
                error = fault
        if not pairs:
            raise error
        self.pair = pairs[0]
        self.area = fmean(pair.lr[0].numel() for pair in pairs) / self.pair.lr[0].numel()
        """Pixels of the mean image, relative to the image that is measured."""
        self.hr = self.pair.hr if self.pair.has_hr else upscale_bicubic(self.pair.lr, bench.spec.scale)
        self.png = self.area * len(encode_png(quantize_floor(self.hr)))
        """Bytes of an HR image, and of an output as if it were as hard to compress."""
        self._seconds = _known_seconds(folder)
        for metric in metrics:
            if metric.facts.name not in self._seconds:
                self._seconds[metric.facts.name] = self.area * self._metric(metric)

    def sampling(self, setting: Setting) -> float:
        """Seconds a model takes for an image, all samples together. Raises SRBenchError if it fails."""
        if setting not in self._seconds:
            draw = Draw(setting.temperature or 0.0, self._outputs(setting), 0, self.bench.spec.tile)
            model = self.bench.models[setting.model].model
            output = upscale(model, self.pair.name, self.pair.lr, draw, self.bench.device)
            self._seconds[setting] = self.area * output.seconds
        return self._seconds[setting]

    def seconds(self, task: Task) -> float:
        """Seconds for what is left to do of an image, without sampling again for values of unquantised outputs."""
        every = sum(self._seconds[metric.facts.name] for metric in self.metrics)
        total = 0.0
        for item in task.items:
            if item.key:
                total += self.sampling(item.setting) + self._outputs(item.setting) * every
            elif record := self.folder.sample(item.setting, task.image, task.pair_key):
                metrics = lacking(self.folder, record, self.metrics)
                total += len(record.outputs) * sum(self._seconds[one.facts.name] for one in metrics)
        return total

    def bytes(self, task: Task) -> float:
        """Size of the images that are kept of a task."""
        pair = self.pair.has_hr + 1 / self.bench.spec.scale**2 if task.fresh else 0.0
        kept = self.folder.manifest.protocol.kept
        return self.png * (pair + sum(min(self._outputs(one.setting), kept) for one in task.items if one.key))

    def _outputs(self, setting: Setting) -> int:
        return 1 if setting.temperature is None else self.bench.spec.samples

    def _metric(self, metric: LoadedMetric) -> float:
        """Seconds a metric takes for one output."""
        output = self.hr.flip(-1)
        other = replace(self.pair, hr=output) if self.pair.has_hr else self.pair
        try:
            measure(metric.metric, output[None], other)  # loads what it needs
            start = time.perf_counter()
            measure(metric.metric, output[None], self.pair)
        except SRBenchError:
            return 0.0
        return time.perf_counter() - start


def _known_seconds(folder: RunFolder) -> dict[Setting | str, float]:
    """Mean seconds in a run by setting, for all samples of an image, and by metric, for one output."""
    seconds: defaultdict[Setting | str, list[float]] = defaultdict(list)
    for known in folder.known.values():
        sampled = [sample for sample in known.samples.values() if not sample.failed]
        outputs = {sample.key: len(sample.outputs) for sample in sampled}
        for sample in sampled:
            seconds[sample.setting].append(sample.seconds)
        for score in known.scores.values():
            if not score.failed and score.sample in outputs:
                seconds[score.metric].append(score.seconds / outputs[score.sample])
    return {what: fmean(values) for what, values in seconds.items()}
