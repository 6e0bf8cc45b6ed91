"""What a preset says: a network, and how it is trained. The presets themselves are the TOML files beside this."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from srbench.training.config import TrainingConfig
from srflow.config import SRFlowConfig

FOLDER = files("srflow") / "presets"


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
