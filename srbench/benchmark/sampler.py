"""The sampler: runs the models of a run folder on LR images."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from srbench.benchmark import BenchmarkError
from srbench.images.io import pixels_sha256, quantize_floor
from srbench.interfaces import Dataset, ImagePair, Model, PrecomputedResults, SRBenchError, StochasticSRModel
from srbench.models import LoadedModel
from srbench.models.names import ModelSpec
from srbench.models.precomputed import ResultFolder
from srbench.plugins.code_digest import our_packages
from srbench.plugins.registry import call
from srbench.run_folder.protocol import Manifest
from srbench.run_folder.records import digest
from srbench.words import size_of

if TYPE_CHECKING:  # imported where they are used, because these import torch
    from torch import Tensor

    from srbench.models.inference import Output

OUTLIER = 0.5
"""An output is an outlier if a value lies further than this outside the range [0, 1]."""
EIGHT_BIT = 1e-3
"""Largest distance of a value from an 8-bit level, in levels."""


def read_pair(dataset: Dataset, image: str) -> ImagePair:
    """Read a pair from its dataset. Raises SRBenchError if the dataset fails or returns something else."""
    pair: ImagePair = call(f"{image}: dataset {dataset.name}", dataset.read, image)
    if not isinstance(pair, ImagePair) or pair.name != image:
        raise BenchmarkError(
            f"{image}: dataset {dataset.name} returned no pair of that name; return ImagePair(name, lr, hr)"
        )
    if not all(image is None or image.is_floating_point() for image in (pair.lr, pair.hr)):
        raise BenchmarkError(f"{image}: dataset {dataset.name} returned integers; divide by 255, images are in [0, 1]")
    if _is_third_party(dataset):
        _require_8_bits(pair, dataset.name)
    return pair


def _is_third_party(dataset: Dataset) -> bool:
    """Return whether a dataset, or the dataset that it crops or degrades, is not of this distribution."""
    whole = getattr(dataset, "whole", None)
    is_ours = type(dataset).__module__.partition(".")[0] in our_packages()
    return not is_ours or (whole is not None and _is_third_party(whole))


def _require_8_bits(pair: ImagePair, dataset: str) -> None:
    """Raise BenchmarkError unless images have 8-bit levels and fit together: LR is saved as an 8-bit image."""
    for kind, pixels in (("LR", pair.lr), ("HR", pair.hr)):
        if pixels is not None:
            levels = 255 * pixels
            rounded = levels.round().clamp(0, 255)
            if not (levels - rounded).abs().max() < EIGHT_BIT:
                raise BenchmarkError(
                    f"{pair.name}: {kind} of dataset {dataset} has values between 8-bit levels or outside [0, 1]; "
                    "round them: (image * 255).round().clamp(0, 255) / 255"
                )
    if pair.hr is not None and any(high % low for high, low in zip(pair.hr.shape[1:], pair.lr.shape[1:], strict=True)):
        raise BenchmarkError(
            f"{pair.name}: dataset {dataset} returned HR of {size_of(pair.hr.shape)} and LR of "
            f"{size_of(pair.lr.shape)}; crop HR to a multiple of LR"
        )


def source_of(model: Model, image: str) -> str:
    """Return the SHA-256 of the files of a precomputed result, or "" for a model that runs.

    Raises SRBenchError if the files are missing.
    """
    return model.digest(image) if isinstance(model, PrecomputedResults) else ""


def outliers(outputs: Tensor) -> int:
    """Count the outputs (n, 3, H, W) that have a value below -0.5 or above 1.5."""
    least, largest = outputs.flatten(1).aminmax(dim=1)
    return int(((least < -OUTLIER) | (largest > 1 + OUTLIER)).sum())


@dataclass
class Sampler:
    """The models of a run folder on a device."""

    manifest: Manifest
    device: str
    models: dict[str, LoadedModel] = field(default_factory=dict)
    """Loaded models by label; ``load`` adds models on first use."""
    runs_here: bool = True
    """False if other processes run the models that are loaded here; see ``load_model``."""

    def load(self, label: str) -> LoadedModel:
        """Return a model in its current state, changed or not. Raises SRBenchError if it cannot be loaded.

        Relative paths are looked up in the current folder and in the folder where the run was started; a file with the
        digest of the measured model is preferred.
        """
        if label not in self.models:
            self.models[label] = self._loaded(label)
        return self.models[label]

    def requested(self, label: str) -> list[str]:
        """Return the names, with absolute paths, under which the commands of the run request a model."""
        names = []
        requests = [invocation.request for invocation in self.manifest.invocations if invocation.request]
        for text in (text for request in requests for text in request.models):
            with suppress(SRBenchError):  # the label of a model object may be any text
                if ModelSpec.parse(text).label == label:
                    names.append(text)
        return names

    def _loaded(self, label: str) -> LoadedModel:
        from srbench.models.loading import load_model

        recorded = self.manifest.model(label)
        loaded: LoadedModel | None = None
        faults: list[SRBenchError] = []
        for text in dict.fromkeys([recorded.spec, *self.requested(label)[-1:]]):
            try:
                loaded = load_model(
                    text, self.manifest.protocol.scale, self.device, is_recorded=True, runs_here=self.runs_here
                )
            except SRBenchError as error:
                faults.append(error)
                continue
            if loaded.digest == recorded.digest:
                break
        if loaded is None:
            raise faults[0]
        if isinstance(loaded.model, ResultFolder):
            loaded.model.pair_with(self.manifest.images, self.manifest.protocol.scale)
        return loaded

    def model(self, label: str) -> LoadedModel:
        """Return a model. Raises SRBenchError if it cannot be loaded, or has changed since the run measured it."""
        loaded = self.load(label)
        if loaded.digest != self.manifest.model(label).digest:
            raise BenchmarkError(f"the code or weights of {label} are not those of the run; run its command again")
        return loaded

    def sample(self, model: Model, pair: ImagePair, temperature: float | None) -> Output:
        """Upscale the LR image of a pair under the protocol of the folder. Raises ModelError.

        The generator is seeded with the run's seed, the scale and the digest of the LR pixels, so that samples depend
        neither on order, labels and other models nor on the number of processes.
        """
        from srbench.models.inference import SamplingParameters, upscale

        protocol = self.manifest.protocol
        lr_pixels = pixels_sha256(quantize_floor(pair.lr))
        seed = int(digest("seed", protocol.seed, protocol.scale, lr_pixels)[:15], 16)
        count = protocol.samples if isinstance(model, StochasticSRModel) else 1
        sampling = SamplingParameters(temperature or 0.0, count, seed, protocol.tile)
        return upscale(model, pair.name, pair.lr, sampling, self.device)
