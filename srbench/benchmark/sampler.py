"""The sampler: models by label, from an LR image to outputs."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from srbench.benchmark import BenchmarkError
from srbench.interfaces import Dataset, ImagePair, Model, PrecomputedResults, SRBenchError, StochasticSRModel
from srbench.models.inference import Draw, Output, upscale
from srbench.models.loading import LoadedModel, load_model
from srbench.models.names import ModelSpec
from srbench.plugins.registry import call
from srbench.run_folder.protocol import Manifest
from srbench.run_folder.records import digest

RUNAWAY = 0.5
"""Distance from the range of an image beyond which a value makes a sample a runaway."""


def read_pair(dataset: Dataset, image: str) -> ImagePair:
    """A pair as its dataset gives it. Raises SRBenchError if the dataset fails, or returns anything but that pair."""
    pair: ImagePair = call(f"{image}: dataset {dataset.name}", dataset.read, image)
    if not isinstance(pair, ImagePair) or pair.name != image:
        raise BenchmarkError(
            f"{image}: dataset {dataset.name} returned no pair of that name; return ImagePair(name, lr, hr)"
        )
    images = [pair.lr, pair.hr] if pair.has_hr else [pair.lr]
    if not all(image.is_floating_point() for image in images):
        raise BenchmarkError(f"{image}: dataset {dataset.name} returned integers; divide by 255, images are in [0, 1]")
    return pair


def source_of(model: Model, image: str) -> str:
    """SHA-256 of the files of a result made elsewhere; empty for a model that computes.

    Raises SRBenchError if they are missing.
    """
    return model.digest(image) if isinstance(model, PrecomputedResults) else ""


def runaways(outputs: Tensor) -> int:
    """Number of outputs (n, 3, H, W) with a value beyond the range [0, 1] by more than half of it."""
    least, largest = outputs.flatten(1).aminmax(dim=1)
    return int(((least < -RUNAWAY) | (largest > 1 + RUNAWAY)).sum())


@dataclass
class Sampler:
    """The models of a run folder on a device."""

    manifest: Manifest
    device: str
    models: dict[str, LoadedModel] = field(default_factory=dict)
    """Open models by label; others are loaded by their names when they are needed."""

    def load(self, label: str) -> LoadedModel:
        """A model of the folder, as it is now. Raises SRBenchError if it cannot be loaded.

        Relative paths are those of the current folder, or of the folder in which the run was started, whichever has the
        model that was measured.
        """
        if label not in self.models:
            self.models[label] = self._loaded(label)
        return self.models[label]

    def _loaded(self, label: str) -> LoadedModel:
        facts = self.manifest.model(label)
        requests = [invocation.request for invocation in self.manifest.invocations if invocation.request]
        absolute = {ModelSpec.parse(text).label: text for request in requests for text in request.models}
        loaded: LoadedModel | None = None
        faults: list[SRBenchError] = []
        for text in dict.fromkeys([facts.spec, absolute.get(label, facts.spec)]):
            try:
                loaded = load_model(text, self.manifest.protocol.scale, self.device)
            except SRBenchError as error:
                faults.append(error)
                continue
            if loaded.digest == facts.digest:
                break
        if loaded is None:
            raise faults[0]
        return loaded

    def model(self, label: str) -> LoadedModel:
        """A model of the folder. Raises SRBenchError if it cannot be loaded, or is not the one that was measured."""
        loaded = self.load(label)
        if loaded.digest != self.manifest.model(label).digest:
            raise BenchmarkError(f"the code or weights of {label} are not those of the run; run its command again")
        return loaded

    def sample(self, model: Model, pair: ImagePair, lr_pixels: str, temperature: float | None) -> Output:
        """Let a model upscale the LR image of a pair by the protocol of the folder. Raises ModelError.

        The generator starts from the seed of the run, the scale and ``lr_pixels``, the digest of the LR image, so that
        neither order, label, other models nor the number of processes changes a sample.
        """
        protocol = self.manifest.protocol
        seed = int(digest("seed", protocol.seed, protocol.scale, lr_pixels)[:15], 16)
        count = protocol.samples if isinstance(model, StochasticSRModel) else 1
        return upscale(model, pair.name, pair.lr, Draw(temperature or 0.0, count, seed, protocol.tile), self.device)
