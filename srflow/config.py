"""The size of an SRFlow network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from baselines.rrdb import MOST, RRDBConfig
from srbench.system.config import load_network
from srflow.affine import SCALE_FLOOR


@dataclass(frozen=True)
class SRFlowConfig:
    """Size of an SRFlow network."""

    encoder: RRDBConfig
    """The LR encoder; its scale is the flow's."""
    stacked: tuple[int, ...]
    """Encoder blocks (counted from 0) whose outputs condition every level, beside the level's own features."""
    steps: int
    """Conditional flow steps a level, K in the paper (16)."""
    width: int
    """Channels inside the couplings' networks (64 in the paper)."""
    scale_floor: float = SCALE_FLOOR
    """Least scale of injectors and couplings. The inverse divides by it: where a network is asked for something it has
    not seen, a floor of 1e-4 (the released networks') lets rare samples grow by 1e4 a layer."""
    log_deviation_bound: float | None = None
    """Bound of the logarithm of a split's deviation; none in the released networks, where such samples overflow."""
    transitions: int = 2
    """Steps without a coupling at the start of every level."""
    consistency: Literal["none", "residual"] = "none"
    """What is done about what LR says of an image: nothing, as in the released networks, which learn it in a long
    training; or the flow models the residual of an image to the consistent upscaling D+ lr, and samples and edited
    images are made to downscale to LR (see ``srbench.images.lr_projection``)."""
    relative_temperatures: tuple[float, ...] = ()
    """Of samples: factors of the temperature, a latent each, finest first; none (the paper) is 1 for all. In the
    small 8x network cooler finest latents measured a lower LPIPS at the same PSNR (``docs/zoo.md``)."""

    def __post_init__(self) -> None:
        counts = (("steps", self.steps, 1), ("width", self.width, 1), ("transitions", self.transitions, 0))
        for name, value, least in counts:
            if not least <= value <= MOST:
                raise ValueError(f"{name} is {value}; it has to be {least} to {MOST}")
        if not all(0 <= block < self.encoder.blocks for block in self.stacked):
            raise ValueError(f"stacked is {list(self.stacked)}; of the encoder's {self.encoder.blocks} blocks, from 0")
        if not 0 < self.scale_floor < 1:
            raise ValueError(f"scale_floor is {self.scale_floor}; it has to be between 0 and 1")
        if self.log_deviation_bound is not None and not 0 < self.log_deviation_bound < math.inf:
            raise ValueError(f"log_deviation_bound is {self.log_deviation_bound}; it has to be above 0")
        if not all(0 <= factor < math.inf for factor in self.relative_temperatures):
            raise ValueError(f"relative_temperatures are {list(self.relative_temperatures)}; they have to be 0 or more")
        if self.relative_temperatures and len(self.relative_temperatures) != self.levels - 1:
            raise ValueError(f"relative_temperatures have to be {self.levels - 1}, one a latent, or none")

    @classmethod
    def from_preset(cls, name: str) -> SRFlowConfig:
        """The size in a preset, or in a TOML file. Raises PresetError, ConfigError."""
        return load_network(files("srflow") / "presets", name, cls)

    @property
    def levels(self) -> int:
        """L in the paper: 3 for 4x, 4 for 8x."""
        return int(math.log2(self.encoder.scale)) + 1
