"""Schemas of the presets of RRDB, ESRGAN and the rectified flow,
which are the TOML files in the folders beside this module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from baselines.rectified_flow import RectifiedFlowConfig
from baselines.rrdb import RRDBConfig
from srbench.files.config import require_range
from srbench.training.config import TrainingConfig

RRDB_PRESETS = files("baselines") / "presets" / "rrdb"
ESRGAN_PRESETS = files("baselines") / "presets" / "esrgan"
RECTIFIED_FLOW_PRESETS = files("baselines") / "presets" / "rectified_flow"


@dataclass(frozen=True)
class RRDBPreset:
    """An RRDB network and its training."""

    network: RRDBConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Data type of the weights file."""


@dataclass(frozen=True)
class AdversarialConfig:
    """The three losses of ESRGAN."""

    pixel_weight: float
    perceptual_weight: float
    adversarial_weight: float
    perceptual_network: Literal["vgg16", "vgg19"]
    """VGG19 in the paper."""
    perceptual_layer: str
    """Convolution whose output is compared, before its ReLU (``conv5_4`` in the paper)."""
    discriminator_width: int
    """Channels of the discriminator's first stage (64 in the paper)."""
    discriminator_rate: float
    """Learning rate of the discriminator relative to the generator's (1 in the paper). Lower it for short trainings,
    where the discriminator would otherwise win at once."""
    shift: int = 0
    """The discriminator and the perceptual network see patches rolled by a random 0 to ``shift`` - 1 pixels in each
    direction (not in the paper). This was meant to remove a mesh pattern but does not (``docs/zoo.md``); ``mini-x4``
    and ``mini-x8`` keep it because the packaged weights were trained with it."""

    def __post_init__(self) -> None:
        require_range(self, ["discriminator_width"], 1)
        require_range(self, ["pixel_weight", "perceptual_weight", "adversarial_weight", "shift"], 0)
        if not 0 < self.discriminator_rate < math.inf:
            raise ValueError(f"discriminator_rate is {self.discriminator_rate}; it has to be finite and above 0")


@dataclass(frozen=True)
class ESRGANPreset:
    """The training of a generator, which is an RRDB network at its start."""

    start: str
    """Preset of the RRDB network; ``--start`` names weights of another size."""
    losses: AdversarialConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Data type of the weights file."""


@dataclass(frozen=True)
class RectifiedFlowPreset:
    """A rectified flow on a trained RRDB network, and its training."""

    network: RectifiedFlowConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Data type of the weights file."""
