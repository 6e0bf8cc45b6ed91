"""``srbench run --dry-run``: what would be done, and what it would cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from statistics import fmean

from srbench.benchmark.request import Bench, RunSpec, open_bench
from srbench.benchmark.run import extended, folder_of
from srbench.benchmark.sampling import KEPT_SAMPLES
from srbench.benchmark.scoring import measure
from srbench.benchmark.tasks import Task, plan_tasks
from srbench.images.io import encode_png, quantize_floor
from srbench.interfaces import ImagePair, SRBenchError
from srbench.models.inference import Draw, is_stochastic, upscale
from srbench.plugins.registry import LoadedMetric
from srbench.run_folder.folder import RunFolder, check_folder
from srbench.run_folder.protocol import Setting

LOOKED_AT = 10
"""How many images tell the mean size of all."""


def estimate(spec: RunSpec) -> Iterator[str]:
    """Lines for a reader: the items, what is done of them, and estimated minutes and disk space of the rest.

    Times are those of the run folder where it has some, else one image is upscaled and measured to find out. Nothing is
    written. Raises SRBenchError where the run could not start.
    """
    bench = open_bench(spec)
    path = folder_of(bench)
    check_folder(path)
    folder, metrics = extended(bench, path)
    tasks = plan_tasks(folder, metrics, bench)
    left = sum(len(task.samplings) for task in tasks)
    to_score = sum(len(task.scorings) for task in tasks)
    lost = [task for task in tasks if task.fault]
    sampled = bench.items - left - len(lost) * len(bench.settings)
    yield f"folder: {path}{'' if path.exists() else ' (new)'}"
    yield f"items: {bench.items} ({len(bench.settings)} settings), of which {sampled} are sampled"
    yield from (f"cannot be read: {task.fault}" for task in lost)
    if to_score:
        yield f"sampled items that lack values: {to_score}"
    if not left and not to_score:
        yield "nothing to do"
        return
    yield f"left to sample: {left}, to score: {left + to_score}, on {len(tasks) - len(lost)} images"
    costs = _Costs(bench, folder, metrics)
    try:
        costs.look_at(tasks)
        for setting, count in Counter(one.setting for task in tasks for one in task.samplings).items():
            yield f"  {setting.folder}: {count} x {costs.sampling(setting):.1f} s for the model"
        minutes, size = sum(map(costs.seconds, tasks)) / 60, sum(map(costs.bytes, tasks)) / 2**20
    except SRBenchError as error:
        yield f"no time can be estimated: {error}"
        return
    yield f"estimated: {minutes:.1f} minutes and {size:.0f} MB on this machine, without the report"


class _Costs:
    """Seconds and bytes of an image of mean size, known or found out."""

    def __init__(self, bench: Bench, folder: RunFolder, metrics: tuple[LoadedMetric, ...]) -> None:
        self.bench, self.folder, self.metrics = bench, folder, metrics
        self.area = 1.0
        """HR pixels of the mean image, over those of the image that is measured."""
        self._sampling: dict[Setting, float] = {}
        self._scoring: dict[str, float] = {}
        self._seconds = _known_seconds(folder)

    def look_at(self, tasks: list[Task]) -> None:
        """Read some images. Raises SRBenchError where none can be read."""
        pairs, error = [], None
        for task in tasks[:: max(len(tasks) // LOOKED_AT, 1)]:
            try:
                pairs.append(self.bench.dataset.read(task.image))
            except SRBenchError as fault:
                error = fault
        if not pairs:
            raise error or SRBenchError("there are no images")
        self.pair = pairs[0]
        self.area = fmean(pair.hr[0].numel() for pair in pairs) / pairs[0].hr[0].numel()
        self._scoring = {metric.facts.name: self._metric(metric) for metric in self.metrics}

    def sampling(self, setting: Setting) -> float:
        """Seconds of a model for an image, all samples together. Raises SRBenchError where it fails."""
        if setting not in self._sampling:
            known = self._seconds.get(setting)
            self._sampling[setting] = fmean(known) if known else self.area * self._model(setting)
        return self._sampling[setting]

    def seconds(self, task: Task) -> float:
        """Of all that is left to do of an image; sampling again for values of unquantised outputs is left out."""
        sampling = sum(self.sampling(one.setting) for one in task.samplings)
        every = sum(self._scoring.values())
        scoring = sum(self._outputs(one.setting) * every for one in task.samplings)
        for setting in task.scorings:
            record = self.folder.sample(setting, task.image)
            if record is None:
                continue
            lacking = [metric.facts for metric in self.metrics if self.folder.lacks(record, metric.facts)]
            scoring += len(record.outputs) * sum(self._scoring[facts.name] for facts in lacking)
        return sampling + scoring

    def bytes(self, task: Task) -> float:
        """Of the images that are kept of a task, as if all were as hard to compress as HR."""
        hr = self.area * len(encode_png(quantize_floor(self.pair.hr)))
        pair = hr * (1 + 1 / self.bench.spec.scale**2) if task.fresh else 0.0
        return pair + hr * sum(min(self._outputs(one.setting), KEPT_SAMPLES) for one in task.samplings)

    def _outputs(self, setting: Setting) -> int:
        return self.bench.spec.samples if is_stochastic(self.bench.models[setting.model].model) else 1

    def _model(self, setting: Setting) -> float:
        draw = Draw(setting.temperature or 0.0, self._outputs(setting), 0, self.bench.spec.tile)
        model = self.bench.models[setting.model].model
        return upscale(model, self.pair.name, self.pair.lr, draw, self.bench.device).seconds

    def _metric(self, metric: LoadedMetric) -> float:
        """Of a metric for one output."""
        if known := self._seconds.get(metric.facts.name):
            return fmean(known)
        output = self.pair.hr.flip(-1)
        other = ImagePair(self.pair.name, self.pair.lr, output)
        try:
            measure(metric.metric, output[None], other)  # what is loaded once does not count
            start = time.perf_counter()
            measure(metric.metric, output[None], self.pair)
        except SRBenchError:
            return 0.0
        return self.area * (time.perf_counter() - start)


def _known_seconds(folder: RunFolder) -> dict[Setting | str, list[float]]:
    """What took how long in a run: by model and temperature, for all samples; by metric, for one output."""
    seconds: dict[Setting | str, list[float]] = {}
    for known in folder.known.values():
        outputs = {sample.key: len(sample.outputs) for sample in known.samples.values() if not sample.failed}
        for setting, sample in known.samples.items():
            if not sample.failed:
                seconds.setdefault(setting, []).append(sample.seconds)
        for score in known.scores.values():
            if not score.failed and score.sample in outputs:
                seconds.setdefault(score.metric, []).append(score.seconds / outputs[score.sample])
    return seconds
