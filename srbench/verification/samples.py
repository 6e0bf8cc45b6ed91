"""Outputs sampled again by their models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from msgspec.structs import replace
from torch import Tensor

from srbench.benchmark.checkpoints import checkpoint_named
from srbench.benchmark.sampler import Sampler, outliers, source_of
from srbench.images.io import quantize
from srbench.interfaces import ImagePair, SRBenchError
from srbench.machine.environment import environment
from srbench.models import RUNTIMES, Checkpoint, LoadedModel, ModelInfo
from srbench.models.names import has_paths_of, is_same_but_for_paths
from srbench.plugins import PluginError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.kept_images import kept_outputs, same_outputs
from srbench.run_folder.records import SampleRecord
from srbench.verification.findings import Findings, differences
from srbench.verification.images import RunImages
from srbench.words import listed, number_of

ROUNDED = 0.01
"""Largest fraction of pixel values that may be one grey level off if an item is sampled in another environment."""
_MACHINE = {"device", "cpu", "gpu", "instructions", "torch", *RUNTIMES}
"""Values of an environment that may change an output by more than rounding."""
_IN_TRAINING = {True: "was in the training", False: "was not in the training", None: "may have been in the training"}


@dataclass(frozen=True)
class Resampling:
    """Samples items of a run again."""

    images: RunImages
    findings: Findings
    sampler: Sampler

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        return self.images.folder

    def open(self, recorded: ModelInfo) -> None:
        """Load a model of the manifest, and compare it with what the manifest states."""
        label = recorded.label
        try:
            loaded = self.sampler.load(label)
        except SRBenchError as error:
            self.findings.add("not-sampled", label, f"it cannot be loaded: {error}")
            return
        self._check_name(recorded, loaded)
        differing = differences(_stated(recorded), _stated(loaded))
        if loaded.digest == recorded.digest and differing:
            self.findings.add("manifest-differs", label, differing)
        elif differing:
            self.findings.add("not-sampled", label, f"its code or weights have changed; {differing}")
        elif loaded.digest != recorded.digest:
            self.findings.add("code-changed", label, "its code or weights have changed")

    def _check_name(self, recorded: ModelInfo, loaded: LoadedModel) -> None:
        """Compare name and checkpoint of a model in the manifest with those that its commands request."""
        names = self.sampler.requested(recorded.label)
        if loaded.is_object or not names:  # check_request names a model without a request
            return
        text = f"the manifest names it {recorded.spec}, and its command {names[-1]}"
        try:
            alike = [name for name in names if is_same_but_for_paths(name, recorded.spec)]
            is_path = any(has_paths_of(name, recorded.spec) for name in alike)
        except PluginError:  # a forged name may be any text
            alike, is_path = [], False
        if not alike:
            rule = "manifest-differs" if loaded.digest == recorded.digest else "not-sampled"
            self.findings.add(rule, recorded.label, text)
        elif not is_path:
            self.findings.add("request-unknown", recorded.label, text)
        by_pattern = any(recorded.label in command.checkpoints for command in self.folder.manifest.invocations)
        stated, requested = recorded.checkpoint, checkpoint_named(names[-1]) if by_pattern else None
        if stated != requested:
            text = f"the manifest calls it {_in_words(stated)}, and its command requests {_in_words(requested)}"
            self.findings.add("manifest-differs", recorded.label, text)

    def check_training(self, record: SampleRecord) -> None:
        """Compare whether HR was in the training of the model with the training images that its weights state."""
        loaded, pair = self.sampler.models.get(record.model), self.folder.of(record.image).pair
        if loaded is None or pair is None or loaded.digest != self.folder.manifest.model(record.model).digest:
            return
        if (was_trained_on := loaded.was_trained_on(pair.whole_pixels)) != record.in_training:
            said, stated = (_IN_TRAINING[each] for each in (record.in_training, was_trained_on))
            text = f"its record says that HR {said}, and the weights state that it {stated}"
            self.findings.add("record-differs", f"{record.setting.folder} {record.image}", text)

    def check(self, record: SampleRecord, pair: ImagePair | None) -> Tensor | None:
        """Sample an item again; return the unquantised outputs if they match the record, else None."""
        loaded = self.sampler.models.get(record.model)
        where = f"{record.setting.folder} {record.image}"
        if pair is None:
            self.findings.add("not-sampled", where, "its LR or HR image is missing or has changed")
            return None
        if loaded is None:
            return None
        try:
            if source_of(loaded.model, record.image) != record.source:
                self.findings.add("not-sampled", where, "the result files have changed since they were measured")
                return None
            output = self.sampler.sample(loaded.model, pair, record.temperature)
        except SRBenchError as error:
            self.findings.add("not-sampled", where, f"could not be sampled again: {error}")
            return None
        images = quantize(output.images, self.folder.manifest.protocol.quantize)
        if same_outputs(record, images):
            self._count(record, output.images)
            self.images.make_outputs(record, images)
            return output.images
        text, rounded = _difference(images, self.saved(record))
        differing = self.differing(record.environment, loaded.environment)
        if rounded and differing:
            self.findings.rounded_values += sum(rounded)
            self.findings.rounded_outputs += sum(map(bool, rounded))
            self.findings.add("rounded", where, rounded_by(differing))
        else:
            rule = "sample-differs" if self.is_unchanged(record) else "not-sampled"
            self.findings.add(rule, where, f"sampled again, {text}")
        return None

    def _count(self, record: SampleRecord, outputs: Tensor) -> None:
        """Count an item that was sampled again with the same result, and its outliers."""
        self.findings.sampled += 1
        if (count := outliers(outputs)) != record.outliers:
            rule = "sample-differs" if self.is_unchanged(record) else "not-sampled"
            had = f"sampled again, {number_of(count, 'output')} had values below -0.5 or above 1.5"
            where = f"{record.setting.folder} {record.image}"
            self.findings.add(rule, where, f"{had}, and its record states {record.outliers}")

    def saved(self, record: SampleRecord) -> Tensor | None:
        """Read the saved outputs of a record; None if none was saved, or any was changed."""
        if not record.kept:
            return None
        return kept_outputs(self.folder, replace(record, outputs=record.outputs[: record.kept]))

    def differing(self, key: str, library: Mapping[str, str]) -> dict[str, str]:
        """Describe by name how a recorded environment differs from this one with a library: ``threads``: ``1, here 2``.

        If nothing differs, every number that was made there is equal here, to the last bit.
        """
        record, here = self.folder.environments.get(key), {**environment(self.sampler.device), **library}
        recorded = {} if record is None else record.facts
        differing = {
            name: f"{recorded.get(name, 'unset')}, here {here.get(name, 'unset')}"
            for name in {**recorded, **here}
            if recorded.get(name) != here.get(name)
        }
        # A GPU may add in another order each time.
        return differing if differing or here["device"] == "cpu" else {"last digits": "may vary on a GPU"}

    def is_unchanged(self, record: SampleRecord) -> bool:
        """Return whether the model has not changed since the run, and this machine is equivalent to the run's."""
        loaded = self.sampler.models[record.model]
        if _MACHINE & self.differing(record.environment, loaded.environment).keys():
            return False
        return loaded.digest == self.folder.manifest.model(record.model).digest


def rounded_by(differing: Mapping[str, str]) -> str:
    """Describe a result that is equal up to rounding in a ``differing`` environment."""
    facts = listed(map(" ".join, differing.items()), separator="; ")
    return f"equal up to rounding; only the machine of the record can prove it ({facts})"


def _stated(model: ModelInfo) -> dict[str, object]:
    """Return the attributes of a model that a report shows; ``code-changed`` is about the digest."""
    weights = {} if model.weights is None else asdict(model.weights)
    return {"label": model.label, "projected": model.projected, **model.stated, **weights}


def _in_words(checkpoint: Checkpoint | None) -> str:
    return "no checkpoint" if checkpoint is None else f"step {checkpoint.step} of {checkpoint.training}"


def _difference(images: Tensor, saved: Tensor | None) -> tuple[str, list[int]]:
    """Describe how outputs differ from the saved ones; also return how many values of each are one grey level off.

    There are no such numbers if rounding does not explain the difference. If fewer outputs were saved, only the first
    are compared.
    """
    if saved is None:
        return "its pixels are not those of its record, and its saved images are missing or have changed", []
    if saved.shape[1:] != images.shape[1:] or len(saved) > len(images):
        return "it is a different image", []
    difference = (images[: len(saved)].int() - saved.int()).abs()
    differing, largest = (difference > 0).flatten(1).sum(dim=1).tolist(), int(difference.max())
    if largest == 0:
        return f"the {len(saved)} saved samples are equal, but not all {len(images)}", []
    text = f"{sum(differing)} of {difference.numel()} pixel values differ, by up to {number_of(largest, 'grey level')}"
    return text, differing if largest == 1 and sum(differing) <= ROUNDED * difference.numel() else []
