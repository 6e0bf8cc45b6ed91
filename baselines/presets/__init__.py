"""What a preset says: a network, and how it is trained. The presets themselves are the TOML files beside this."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from baselines.rrdb import RRDBConfig
from srbench.training.config import TrainingConfig

RRDB = files("baselines") / "presets" / "rrdb"
ESRGAN = files("baselines") / "presets" / "esrgan"


@dataclass(frozen=True)
class RRDBPreset:
    """A network and how it is trained."""

    network: RRDBConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Type of the numbers in the weights file."""


@dataclass(frozen=True)
class AdversarialConfig:
    """The part of an ESRGAN preset that concerns its three losses."""

    pixel_weight: float
    perceptual_weight: float
    adversarial_weight: float
    perceptual_network: Literal["vgg16", "vgg19"]
    """VGG19 in the paper."""
    perceptual_layer: str
    """One of its convolutions, compared before its ReLU: ``conv5_4`` in the paper."""
    discriminator_width: int
    """Channels of the discriminator's first stage (64 in the paper)."""
    discriminator_rate: float
    """Its learning rate over the generator's (1 in the paper). In a short training it wins at once unless slow."""
    shift: int = 0
    """The discriminator and the perceptual network see every patch, real or generated, rolled by 0 to ``shift`` - 1
    pixels each way (not in the paper). It was meant to remove a mesh on the grid that their strides share with the
    generator's upsampling, but did not (``docs/zoo.md``). ``mini-x4`` has it: its weights were trained so."""

    def __post_init__(self) -> None:
        for name in ("pixel_weight", "perceptual_weight", "adversarial_weight", "discriminator_width", "shift"):
            least = int(name == "discriminator_width")
            if not least <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it has to be {least} or more")
        if not 0 < self.discriminator_rate < math.inf:
            raise ValueError(f"discriminator_rate is {self.discriminator_rate}; it has to be above 0")


@dataclass(frozen=True)
class ESRGANPreset:
    """A generator, which goes on from an RRDB network of the same size, and how it is trained."""

    network: RRDBConfig
    losses: AdversarialConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Type of the numbers in the weights file."""
