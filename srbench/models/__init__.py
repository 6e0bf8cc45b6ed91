"""Models: loading by name, inference, third-party networks, results made elsewhere, export."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from srbench.interfaces import TEMPERATURE, Model, SRBenchError, WeightsInfo
from srbench.weights.training_images import is_among

SMALLEST_TILE = 16
"""Smallest side of a tile in LR pixels."""
ONNX_RUNTIME = "ONNX Runtime"
NCNN = "ncnn"
RUNTIMES = (ONNX_RUNTIME, NCNN)
"""What computes networks outside torch. In the environment of their outputs alone, its name is a fact: its version and
the execution provider."""


class ModelError(SRBenchError):
    """A model that cannot be loaded, run, converted or exported."""


@dataclass(frozen=True)
class Checkpoint:
    """The place of a model among the checkpoints of a training."""

    training: str
    """Label of the training: ``mine`` for the models ``mine-50`` and ``mine-100``."""
    step: int


@dataclass(frozen=True)
class ModelInfo:
    """Info of a model, which has one row of the table for each temperature."""

    label: str
    """Name in the table and in file names."""
    spec: str
    """The name that the user typed."""
    digest: str
    """SHA-256 of everything that determines the outputs: code, harness and weights."""
    projected: bool
    """True if the outputs are projected onto the images that downscale to LR."""
    weights: WeightsInfo | None
    stated: dict[str, str] = field(default_factory=dict, kw_only=True)
    """Facts stated in a folder of results made elsewhere; no value depends on them."""
    checkpoint: Checkpoint | None = field(default=None, kw_only=True)
    """Training and step of one of several checkpoints that a single name requested; None for any other model."""

    @property
    def joint_label(self) -> str:
        """Label of the training for a checkpoint, else the label."""
        return self.label if self.checkpoint is None else self.checkpoint.training

    @property
    def temperature(self) -> float:
        """Temperature of its samples unless the user names another: that stated in its weights, else TEMPERATURE."""
        stated = None if self.weights is None else self.weights.temperature
        return TEMPERATURE if stated is None else stated

    def unloaded(self) -> ModelInfo:
        """Return the info without the model, if it is loaded."""
        return ModelInfo(**{each.name: getattr(self, each.name) for each in fields(ModelInfo)})


@dataclass(frozen=True)
class LoadedModel(ModelInfo):
    """A model that is ready to run."""

    model: Model
    is_object: bool = False
    """True for an object of this process, which cannot be loaded by its ``spec``."""
    is_identified: bool = True
    """False for an object whose changes cannot be detected, so that it counts as new in every call."""
    environment: dict[str, str] = field(default_factory=dict)
    """What computes the model, if not torch: facts for the environment of its outputs."""
    training_images: bytes = b""
    """Its training images, as its weights state them (``weights.training_images``); empty if they state none."""

    def was_trained_on(self, pixels: str | None) -> bool | None:
        """Return whether an image, by the SHA-256 of its pixels, was in its training; None if either is unknown."""
        return is_among(pixels, self.training_images) if pixels and self.training_images else None
