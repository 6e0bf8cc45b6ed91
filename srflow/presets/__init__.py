"""Presets: a network and its training. The presets themselves are the TOML files beside this module."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from srbench.files.config import require_range
from srbench.training.config import TrainingConfig
from srflow.config import SRFlowConfig

FOLDER = files("srflow") / "presets"
PERCEPTUAL = FOLDER / "perceptual"


@dataclass(frozen=True)
class SRFlowPreset:
    """A network and how it is trained."""

    network: SRFlowConfig
    training: TrainingConfig
    frozen: float = 0.5
    """Fraction of the training during which the encoder stays as pretrained (SRFlow, section 4.1)."""
    reversible: bool = False
    """Store no activations: a third of the memory or less, for more time per step."""
    storage: Literal["float16", "float32"] = "float32"
    """Type of the numbers in the weights file."""

    def __post_init__(self) -> None:
        if not self.network.stacked:
            raise ValueError("network.stacked is empty; name at least one encoder block, as in [3]")
        if not 0 <= self.frozen <= 1:
            raise ValueError(f"frozen is {self.frozen}; it has to be a fraction of the training, 0 to 1")


@dataclass(frozen=True)
class SecondStageConfig:
    """The losses of the second stage."""

    nll_weight: float
    """Weight of the negative log-likelihood in bits per dimension."""
    pixel_weight: float
    """Weight of the absolute error of the image at temperature 0."""
    perceptual_weight: float
    """Weight of ``sample_losses.learned_distance``: LPIPS on VGG16, between a sample and HR."""
    texture_weight: float
    """Weight of ``sample_losses.texture_difference``: statistics of those features in windows."""
    grid_weight: float
    """Weight of ``srflow.training.grid_loss.grid_difference``: edges of sample and HR on the grid of LR pixels."""
    spectrum_weight: float
    """Weight of ``sample_losses.spectrum_difference``: power at periods of 2 to 4 pixels."""
    temperature: float
    """Temperature of the sample."""
    perceptual_layer: str
    """Last convolution of VGG16 that is compared, before its ReLU, beside the last of every stage before it."""
    perceptual_precision: Literal["float32", "bfloat16"]
    """Type of VGG16's convolutions. With bfloat16 a step takes 0.76 of the time on processors with AVX-512 BF16."""
    shift: int
    """Pixels: VGG16 sees sample and HR rolled by 0 to ``shift`` - 1 each way, so that no pattern can hide on the grid
    of its strides."""

    def __post_init__(self) -> None:
        require_range(self, [name for name, value in vars(self).items() if not isinstance(value, str)], 0)


@dataclass(frozen=True)
class SecondStagePreset:
    """A network trained by likelihood, and its second stage of training."""

    network: SRFlowConfig
    losses: SecondStageConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Type of the numbers in the weights file."""
