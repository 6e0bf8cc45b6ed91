"""Schemas of the presets, which are the TOML files in this folder: a network and its training."""

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
    encoder_freeze: float = 0.5
    """Fraction of the training during which the pretrained encoder is frozen (SRFlow, section 4.1)."""
    reversible: bool = False
    """Store no activations: a step takes less memory and more time."""
    storage: Literal["float16", "float32"] = "float32"
    """Data type of the weights file."""

    def __post_init__(self) -> None:
        if not self.network.stacked:
            raise ValueError("network.stacked is empty; list at least one encoder block, such as [3]")
        if not 0 <= self.encoder_freeze <= 1:
            raise ValueError(
                f"encoder_freeze is {self.encoder_freeze}; it has to be a fraction of the training, 0 to 1"
            )


@dataclass(frozen=True)
class SecondStageConfig:
    """The losses of the second stage."""

    nll_weight: float
    """Weight of the negative log-likelihood in bits per dimension."""
    pixel_weight: float
    """Weight of the L1 loss of the image at temperature 0."""
    perceptual_weight: float
    """Weight of ``sample_losses.learned_distance``: LPIPS on VGG16, between a sample and HR."""
    texture_weight: float
    """Weight of ``sample_losses.texture_difference``: local statistics of the VGG16 features."""
    grid_weight: float
    """Weight of ``grid_loss.grid_difference``: edges of sample and HR on the grid of LR pixels."""
    spectrum_weight: float
    """Weight of ``sample_losses.spectrum_difference``: power at periods of 2 to 4 pixels."""
    temperature: float
    """Temperature of the sample."""
    perceptual_layer: str
    """Deepest convolution of VGG16 to compare, before its ReLU; the last one of each earlier stage is compared too."""
    perceptual_precision: Literal["float32", "bfloat16"]
    """Data type of VGG16's convolutions. bfloat16 is faster on some processors and slower on others."""
    shift: int
    """VGG16 sees sample and HR rolled by a random 0 to ``shift`` - 1 pixels in each direction, so that no pattern can
    hide on the grid of its strides."""

    def __post_init__(self) -> None:
        require_range(self, [name for name, value in vars(self).items() if not isinstance(value, str)], 0)


@dataclass(frozen=True)
class SecondStagePreset:
    """The second training stage of a network trained by likelihood."""

    start: str
    """Preset of the network; ``--start`` names weights of another size."""
    losses: SecondStageConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Data type of the weights file."""
