"""The size of an SRFlow network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from baselines.rrdb import MOST, RRDBConfig
from srbench.files.config import load_network, require_range
from srflow.affine import SCALE_FLOOR


@dataclass(frozen=True)
class SRFlowConfig:
    """Size of an SRFlow network."""

    encoder: RRDBConfig
    """The LR encoder; the flow has its scale."""
    stacked: tuple[int, ...]
    """Encoder blocks (counted from 0) whose outputs condition every level, beside the level's own features."""
    steps: int
    """Conditional flow steps per level, K in the paper (16)."""
    width: int
    """Channels inside the networks of the couplings (64 in the paper)."""
    scale_floor: float = SCALE_FLOOR
    """Smallest scale of injectors and couplings. The inverse divides by it: on input unlike the training data, a floor
    of 1e-4 (as in the released networks) lets rare samples grow by 1e4 per layer."""
    log_deviation_bound: float | None = None
    """Bound of the log-deviation of a split. The released networks have none, and such samples overflow."""
    transitions: int = 2
    """Steps without a coupling at the start of every level."""
    consistency: Literal["none", "residual"] = "none"
    """``none``: the flow models the image and learns by training what LR determines, as the released networks do.
    ``residual``: it models the residual to the consistent upscaling D+ lr, and samples and edited images are projected
    onto the images that downscale to LR (``srbench.images.lr_projection``)."""
    range_margin: float | None = None
    """Distance from [0, 1] to which samples are bounded before they are projected (``srflow.value_range``); None, as in
    the released networks: they may run away. HR with its noise has to lie within it."""
    relative_temperatures: tuple[float, ...] = ()
    """Factors of the temperature for each latent, finest first; empty (the paper): 1 for all. In the small 8x network,
    cooler finest latents measured a lower LPIPS at the same PSNR (``docs/zoo.md``)."""

    def __post_init__(self) -> None:
        require_range(self, ["steps", "width"], 1, MOST)
        require_range(self, ["transitions"], 0, MOST)
        if not all(0 <= block < self.encoder.blocks for block in self.stacked):
            raise ValueError(f"stacked is {list(self.stacked)}; of the encoder's {self.encoder.blocks} blocks, from 0")
        if not 0 < self.scale_floor < 1:
            raise ValueError(f"scale_floor is {self.scale_floor}; it has to be between 0 and 1")
        for name in ("log_deviation_bound", "range_margin"):
            if (bound := getattr(self, name)) is not None and not 0 < bound < math.inf:
                raise ValueError(f"{name} is {bound}; it has to be above 0")
        if not all(0 <= factor < math.inf for factor in self.relative_temperatures):
            raise ValueError(f"relative_temperatures are {list(self.relative_temperatures)}; they have to be 0 or more")
        if self.relative_temperatures and len(self.relative_temperatures) != self.levels - 1:
            raise ValueError(f"relative_temperatures have to be {self.levels - 1}, one for each latent, or none")

    @classmethod
    def from_preset(cls, name: str) -> SRFlowConfig:
        """The size in a preset, or in a TOML file. Raises ConfigError."""
        return load_network(files("srflow") / "presets", name, cls)

    @property
    def levels(self) -> int:
        """Number of levels, L in the paper: 3 for 4x, 4 for 8x."""
        return int(math.log2(self.encoder.scale)) + 1

    @property
    def projected(self) -> bool:
        """True if samples are projected onto the images that downscale to LR."""
        return self.consistency == "residual"
