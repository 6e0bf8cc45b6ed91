"""Outputs sampled again by their models."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from msgspec.structs import replace
from torch import Tensor

from srbench.benchmark.sampler import Sampler, source_of
from srbench.images.io import quantize
from srbench.interfaces import ImagePair, SRBenchError
from srbench.machine.environment import environment
from srbench.models import ONNX_RUNTIME, ModelInfo
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.kept_images import kept_outputs, same_outputs
from srbench.run_folder.records import SampleRecord
from srbench.verification.findings import Findings, differences
from srbench.verification.images import RunImages

ROUNDED = 0.01
"""Largest fraction of pixel values that may be one grey level off if an item is sampled on another processor."""
_MACHINE = ("device", "cpu", "gpu", "instructions", "TF32 in products", "TF32 in convolutions", "torch", ONNX_RUNTIME)
"""Values of an environment that may change an output by more than rounding."""


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
        differing = differences(_stated(recorded), _stated(loaded))
        if loaded.digest == recorded.digest and differing:
            self.findings.add("manifest-differs", label, differing)
        elif differing:
            self.findings.add("not-sampled", label, f"its code or weights have changed; {differing}")
        elif loaded.digest != recorded.digest:
            self.findings.add("code-changed", label, "its code or weights have changed")

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
            self.findings.sampled += 1
            self.images.make_outputs(record, images)
            return output.images
        text, is_rounding = _difference(images, self.saved(record))
        if is_rounding:
            self.findings.sampled += 1
            self.findings.add("rounded", where, text)
        else:
            rule = "sample-differs" if self.is_unchanged(record) else "not-sampled"
            self.findings.add(rule, where, f"sampled again, {text}")
        return None

    def saved(self, record: SampleRecord) -> Tensor | None:
        """Read the saved outputs of a record; None if none was saved, or any was changed."""
        if not record.kept:
            return None
        return kept_outputs(self.folder, replace(record, outputs=record.outputs[: record.kept]))

    def is_unchanged(self, record: SampleRecord) -> bool:
        """Return whether the model has not changed since the run, and this machine is equivalent to the run's."""
        current = environment(self.sampler.device) | self.sampler.models[record.model].environment
        recorded = self.folder.environments.get(record.environment)
        if recorded is None:
            return False
        if any(current.get(name) != recorded.facts[name] for name in _MACHINE if name in recorded.facts):
            return False
        return self.sampler.models[record.model].digest == self.folder.manifest.model(record.model).digest


def _stated(model: ModelInfo) -> dict[str, object]:
    """Return the attributes of a model that a report shows; ``code-changed`` is about the digest."""
    weights = {} if model.weights is None else asdict(model.weights)
    return {"label": model.label, "projected": model.projected, **model.stated, **weights}


def _difference(images: Tensor, saved: Tensor | None) -> tuple[str, bool]:
    """Describe how outputs differ from the saved ones, and return whether another processor can explain it.

    If fewer outputs were saved, only the first are compared.
    """
    if saved is None:
        return "its pixels are not those of its record, and its saved images are missing or have changed", False
    if saved.shape[1:] != images.shape[1:] or len(saved) > len(images):
        return "it is a different image", False
    difference = (images[: len(saved)].int() - saved.int()).abs()
    fraction = float((difference > 0).double().mean())
    largest = int(difference.max())
    if largest == 1 and fraction <= ROUNDED:
        return f"equal up to rounding (one grey level in {fraction:.2%} of pixel values)", True
    if largest == 0:
        return f"the {len(saved)} saved samples are equal, but not all {len(images)}", False
    return f"{fraction:.2%} of its pixel values differ, by up to {largest} grey levels", False
