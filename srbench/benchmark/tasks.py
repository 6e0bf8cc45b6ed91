"""What is left to do in a run folder, image by image, and doing it.

A task is one image with all its settings, so that whatever a metric computes of an HR image serves all models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from torch import Tensor

from srbench.benchmark import BenchmarkError
from srbench.benchmark.error_maps import LPIPS as LPIPS_MAP
from srbench.benchmark.error_maps import evenly, map_file, map_key, map_png
from srbench.benchmark.sampling import (
    failed_sample,
    keep_pair,
    keep_sample,
    kept_outputs,
    kept_pair,
    same_outputs,
    sample,
    source_of,
)
from srbench.benchmark.scoring import failed_score, one_thread, score, score_model
from srbench.images.io import quantize
from srbench.interfaces import Dataset, ImagePair, Progress, SRBenchError, Step, silent
from srbench.metrics.perceptual import LPIPS
from srbench.models.inference import Output
from srbench.models.loading import LoadedModel, load_model
from srbench.plugins.registry import LoadedMetric
from srbench.run_folder.folder import RunFolder, sample_key
from srbench.run_folder.protocol import Setting, Shard, setting_folder
from srbench.run_folder.records import PairRecord, SampleRecord, digest


@dataclass(frozen=True, slots=True)
class Sampling:
    """One setting of a task that has to be sampled."""

    setting: Setting
    source: str
    """Digest of the files of results made elsewhere."""
    fault: str = ""
    """Why it cannot be: such a file is missing."""


@dataclass(frozen=True, slots=True)
class Task:
    """One image: what has to be read, sampled and scored."""

    image: str
    pair_key: str
    """Of the pair in the dataset."""
    fresh: bool
    """Has the pair to be read, because it is not there, or another one is?"""
    samplings: tuple[Sampling, ...] = ()
    scorings: tuple[Setting, ...] = ()
    """Settings that are sampled and lack values."""
    fault: str = ""
    """Why the pair cannot be read."""

    @property
    def items(self) -> int:
        """Settings of it."""
        return max(len(self.samplings) + len(self.scorings), 1)


def plan_tasks(
    folder: RunFolder, dataset: Iterable[str], pair_key: Callable[[str], str], models: dict[str, LoadedModel],
    settings: Sequence[Setting], metrics: Sequence[LoadedMetric], shard: Shard | None = None,
) -> list[Task]:  # fmt: skip
    """What is left to do, so that the images of the dataset are sampled in ``settings``, and all of the folder scored.

    ``settings`` are of ``models``, and each tells of how many images; of a shard only the images that it has.
    """
    names = list(dataset)
    mine = set(names if shard is None else shard.part(names))
    places = {image: place for place, image in enumerate(names) if image in mine}
    deepest = max((len(names) if one.limit is None else one.limit for one in settings), default=0)
    tasks = []
    for image in folder.manifest.images:
        place = places.get(image, deepest)
        wanted = [one for one in settings if one.limit is None or place < one.limit] if image in places else []
        task = _task(folder, image, pair_key, models, wanted, metrics)
        if task.fault or task.fresh or task.samplings or task.scorings:
            tasks.append(task)
    return tasks


def _task(
    folder: RunFolder, image: str, pair_key: Callable[[str], str], models: dict[str, LoadedModel],
    wanted: Sequence[Setting], metrics: Sequence[LoadedMetric],
) -> Task:  # fmt: skip
    known = folder.of(image).pair
    fresh, key = False, "" if known is None else known.key
    if wanted:
        try:
            key = pair_key(image)
        except SRBenchError as error:
            return Task(image, "", fresh=True, fault=str(error))
        fresh = known is None or known.failed or known.key != key
    samplings = [_sampling(folder, models[one.model], image, key, one) for one in wanted]
    to_sample = tuple(one for one in samplings if one is not None)
    sampled = {(one.setting.model, one.setting.temperature) for one in to_sample}
    to_score = [
        one
        for one in folder.manifest.settings
        if (one.model, one.temperature) not in sampled and _lacks_values(folder, one, image, key, metrics)
    ]
    return Task(image, key, fresh, to_sample, tuple(to_score))


def _sampling(folder: RunFolder, loaded: LoadedModel, image: str, pair: str, setting: Setting) -> Sampling | None:
    """What has to be sampled of a setting; None where that is done."""
    try:
        source = source_of(loaded.model, image)
    except SRBenchError as error:
        return Sampling(setting, "", str(error))
    key = sample_key(folder.manifest.protocol, loaded.digest, source, pair, setting.temperature)
    record = folder.of(image).samples.get((setting.model, setting.temperature))
    return None if record is not None and record.key == key and not record.failed else Sampling(setting, source)


def _lacks_values(folder: RunFolder, setting: Setting, image: str, pair: str, metrics: Sequence[LoadedMetric]) -> bool:
    """Is a setting sampled of a pair (by its key), but not measured by all metrics?"""
    record = folder.sample(setting.model, setting.temperature, image, pair)
    if record is None or record.failed:
        return False
    return any(folder.lacks(record, metric.facts) for metric in metrics)


@dataclass
class Session:
    """One invocation at work on a run folder, of which it is the only writer."""

    folder: RunFolder
    metrics: Sequence[LoadedMetric]
    models: dict[str, LoadedModel]
    """By label. Others of the folder are loaded where something has to be sampled again."""
    dataset: Dataset | None
    device: str
    progress: Progress = silent
    invocation: int = 0
    """Its place in the manifest."""
    total: int = 0
    done: int = 0
    share: float = 0.0
    """Share of the items that were done when the last image was."""
    sampled: int = 0
    """Items that were sampled."""
    scored: int = 0
    """Values that were measured."""
    failures: list[str] = field(default_factory=list)

    def do(self, task: Task) -> None:
        """Do a task; what fails is recorded and named, and the rest goes on."""
        pair = self._pair(task)
        if pair is None:
            return
        for sampling in task.samplings:
            self.begin(sampling.setting, task.image)
            self._sample(sampling, pair)
            self.done += 1
        for setting in task.scorings:
            self.begin(setting, task.image)
            record = self.folder.sample(setting.model, setting.temperature, task.image)
            assert record is not None
            try:
                self._score(record, pair)
            except SRBenchError as error:
                self.fail(f"{setting_folder(setting.model, setting.temperature)}: {error}")
            self.done += 1

    def give_up(self, task: Task, setting: Setting | None, error: str, tries: int) -> None:
        """Record that a setting of a task could not be done so often; without a setting, that its pair could not."""
        if setting is None:
            self._not_read(task, error, tries)
            return
        record = self.folder.sample(setting.model, setting.temperature, task.image)
        sampling = next((one for one in task.samplings if one.setting == setting), None)
        if sampling is not None:
            self._not_sampled(sampling, task.image, error, tries)
        elif record is not None:
            self.give_up_scores(record, error, tries)

    def give_up_scores(self, record: SampleRecord, error: str, tries: int) -> None:
        """Record that what is lacking of a record could not be measured so often."""
        lacking = [metric.facts for metric in self.metrics if self.folder.lacks(record, metric.facts)]
        self.folder.append(*(failed_score(facts, record, error, self.invocation, tries) for facts in lacking))
        self.fail(f"{setting_folder(record.model, record.temperature)}: {error}")

    def _pair(self, task: Task) -> ImagePair | None:
        """The pair of a task, read and kept where that is left to do; None where it cannot be had."""
        known = self.folder.of(task.image).pair
        tries = known.tries if known is not None and known.failed else 0
        try:
            if task.fault:
                raise BenchmarkError(task.fault)
            if not task.fresh and (pair := kept_pair(self.folder, task.image)) is not None:
                return pair
            if self.dataset is None or not (task.fresh or task.image in set(self.dataset)):
                raise BenchmarkError(
                    f"{task.image}: LR and HR are no longer in {self.folder.path}; run its command again, with the data"
                )
            pair = self.dataset.read(task.image)
            keep_pair(self.folder, pair, task.pair_key, self.invocation, tries + 1)
        except SRBenchError as error:
            self._not_read(task, str(error), 1)
            return None
        return pair

    def _not_read(self, task: Task, error: str, tries: int) -> None:
        if task.fresh:
            known = self.folder.of(task.image).pair
            tries += known.tries if known is not None and known.failed else 0
            key = task.pair_key or digest("unreadable", task.image)
            self.folder.append(PairRecord(key, task.image, self.invocation, tries, error, None, None))
        self.fail(error)

    def _sample(self, sampling: Sampling, pair: ImagePair) -> None:
        setting = sampling.setting
        try:
            if sampling.fault:
                raise BenchmarkError(sampling.fault)
            model = self.model(setting.model).model
            output = sample(self.folder, model, pair, setting.temperature, self.device)
        except SRBenchError as error:
            self._not_sampled(sampling, pair.name, str(error), 1)
            return
        tries = self._key_and_tries(sampling, pair.name)[1] + 1
        self._keep_and_score(setting, output, pair, sampling.source, tries)

    def _not_sampled(self, sampling: Sampling, image: str, error: str, tries: int) -> None:
        label, temperature = sampling.setting.model, sampling.setting.temperature
        key, before = self._key_and_tries(sampling, image)
        self.folder.append(failed_sample(label, image, temperature, key, error, self.invocation, before + tries))
        self.fail(f"{setting_folder(label, temperature)}: {error}")

    def _key_and_tries(self, sampling: Sampling, image: str) -> tuple[str, int]:
        """The key that a sampling will have, and how often it has failed."""
        manifest, (label, temperature) = self.folder.manifest, (sampling.setting.model, sampling.setting.temperature)
        known = self.folder.of(image)
        assert known.pair is not None
        key = sample_key(
            manifest.protocol, manifest.model(label).digest, sampling.source, known.pair.key, temperature
        )  # fmt: skip
        before = known.samples.get((label, temperature))
        return key, before.tries if before is not None and before.failed and before.key == key else 0

    def _keep_and_score(self, setting: Setting, output: Output, pair: ImagePair, source: str, tries: int) -> None:
        record, images = keep_sample(
            self.folder, setting.model, output, pair.name, setting.temperature,
            source=source, invocation=self.invocation, tries=tries,
        )  # fmt: skip
        self.sampled += 1
        self.score_images(record, pair, self.metrics, images, output.images)

    def _score(self, record: SampleRecord, pair: ImagePair) -> None:
        """Measure what is lacking of a record, from its files where they were kept."""
        lacking = [metric for metric in self.metrics if self.folder.lacks(record, metric.facts)]
        images = None if any(one.unquantised for one in lacking) else kept_outputs(self.folder, record)
        if images is not None:
            self.score_images(record, pair, lacking, images, images)
            return
        loaded = self.model(record.model)
        output = sample(self.folder, loaded.model, pair, record.temperature, self.device)
        again = quantize(output.images, self.folder.manifest.protocol.quantize)
        if same_outputs(record, again):
            self.score_images(record, pair, lacking, again, output.images)
        else:  # on another machine the last bit may differ: then all values are measured of what is there now
            setting = Setting(record.model, record.temperature, None)
            self._keep_and_score(setting, output, pair, record.source, 1)

    def score_images(
        self, record: SampleRecord, pair: ImagePair, metrics: Sequence[LoadedMetric], images: Tensor, exact: Tensor
    ) -> None:
        """Measure the outputs behind a record (n, 3, H, W): as uint8, and as the model returned them."""
        lines = []
        for metric in metrics:
            before = self.folder.score(record, metric.facts)
            tries = 1 if before is None else before.tries + 1
            seen = exact if metric.unquantised else images
            with one_thread() if self.device == "cpu" else nullcontext():
                if metric.of_model:
                    line = score_model(
                        metric, lambda: self.model(record.model).model, self.device, record, self.invocation, tries
                    )
                else:
                    line = score(metric, seen, pair, record, self.invocation, tries)
            lines.append(line)
            if line.failed:
                self.fail(f"{setting_folder(record.model, record.temperature)}: {line.error}")
            elif isinstance(metric.metric, LPIPS) and metric.metric.is_default:
                self._keep_map(metric.metric, record)
        self.scored += len(lines)
        self.folder.append(*lines)

    def _keep_map(self, lpips: LPIPS, record: SampleRecord) -> None:
        """Keep where the value just measured comes from, of outputs that a report shows: it need not compute it again.

        Those of a GPU would differ from the report's in the last bit.
        """
        pair = self.folder.of(record.image).pair
        if self.device != "cpu" or not record.kept or record.image not in evenly(self.folder.manifest.scope):
            return
        assert pair is not None
        assert pair.hr is not None
        with one_thread():
            values = lpips.map_of_first().numpy()
        content = map_png(values, LPIPS_MAP, map_key(LPIPS_MAP, pair.hr.pixels, [record.outputs[0].pixels]))
        file = map_file(LPIPS_MAP, setting_folder(record.model, record.temperature), record.image)
        self.folder.write(self.folder.path / file, content)

    def model(self, label: str) -> LoadedModel:
        """A model of the folder, loaded where the command did not name it. Raises SRBenchError."""
        facts = self.folder.manifest.model(label)
        if label not in self.models:
            self.models[label] = load_model(facts.spec, self.folder.manifest.protocol.scale, self.device)
        if self.models[label].digest != facts.digest:
            raise BenchmarkError(
                f"{label} has other code or weights than when it was sampled, and its outputs were not kept; run the "
                "command that sampled it again"
            )
        return self.models[label]

    def image_done(self) -> None:
        """Note that one more image is done at all its settings.

        Only then the share of the items done tells the pace: an image may begin with settings that cost little.
        """
        self.share = self.done / self.total

    def begin(self, setting: Setting, image: str) -> None:
        """Tell which setting and image come next."""
        what = f"{setting_folder(setting.model, setting.temperature)} {image}"
        self.progress(Step(self.done, self.total, what, share=self.share))

    def fail(self, fault: str) -> None:
        """Tell what has failed, in one line."""
        self.failures.append(fault)
        self.progress(Step(self.done, self.total, "", fault, self.share))
