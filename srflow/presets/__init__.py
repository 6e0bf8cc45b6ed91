"""What a preset says: a network, and how it is trained. The presets themselves are the TOML files beside this."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

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
    """Fraction of the training in which the encoder stays as pretrained (SRFlow, section 4.1)."""
    reversible: bool = False
    """Store no activations: a third of the memory or less, for more time a step."""
    storage: Literal["float16", "float32"] = "float32"
    """Type of the numbers in the weights file."""

    def __post_init__(self) -> None:
        if not 0 <= self.frozen <= 1:
            raise ValueError(f"frozen is {self.frozen}; it has to be a share of the training, 0 to 1")


@dataclass(frozen=True)
class SecondStageConfig:
    """The part of a second stage's preset that concerns its losses."""

    nll_weight: float
    """Of the negative log-likelihood in bits per dimension."""
    pixel_weight: float
    """Of the absolute error of the image at temperature 0."""
    perceptual_weight: float
    """Of the difference of features of a sample and of HR."""
    texture_weight: float
    """Of the difference between the statistics of those features in windows (``sample_losses.py``)."""
    grid_weight: float
    """Of the difference in how edges of that sample and of HR lie on the grid of LR pixels (``sample_losses.py``)."""
    temperature: float
    """Of that sample."""
    perceptual_layer: str
    """A convolution of VGG16, compared before its ReLU."""
    perceptual_precision: Literal["float32", "bfloat16"]
    """Of VGG16's convolutions. bfloat16 takes 0.76 of a step's time on processors that have it (AVX-512 BF16)."""
    shift: int
    """VGG16 sees sample and HR rolled by 0 to ``shift`` - 1 pixels each way, so that nothing can hide
    on the grid of its strides."""

    def __post_init__(self) -> None:
        for name in (
            "nll_weight",
            "pixel_weight",
            "perceptual_weight",
            "texture_weight",
            "grid_weight",
            "temperature",
            "shift",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it has to be 0 or more")


@dataclass(frozen=True)
class SecondStagePreset:
    """A network trained by likelihood, and how it is trained on."""

    network: SRFlowConfig
    losses: SecondStageConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Type of the numbers in the weights file."""
