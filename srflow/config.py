"""The size of an SRFlow network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from baselines.rrdb import MAX_SIZE, RRDBConfig
from srbench.files.config import load_network, require_range
from srflow.affine import SCALE_FLOOR


@dataclass(frozen=True)
class SRFlowConfig:
    """Size of an SRFlow network."""

    encoder: RRDBConfig
    """The LR encoder, which also sets the flow's scale."""
    stacked: tuple[int, ...]
    """Indices of the encoder blocks whose outputs condition every level in addition to the level's own features."""
    steps: int
    """Conditional flow steps per level, K in the paper (16)."""
    width: int
    """Hidden channels of the networks in injectors and couplings (64 in the paper)."""
    scale_floor: float = SCALE_FLOOR
    """Smallest scale of injectors and couplings. The inverse divides by it: with the released networks' 1e-4, a layer
    can amplify an unusual input 10,000-fold."""
    log_deviation_bound: float | None = None
    """Bound on the log-deviation in a split. None, as in the released networks: rare samples can overflow."""
    transitions: int = 2
    """Steps without a coupling at the start of every level."""
    consistency: Literal["none", "residual"] = "none"
    """``none``: the flow models the whole image and has to learn agreement with LR, as the released networks do.
    ``residual``: it models the residual to the consistent upscaling D+ lr, and samples and edited images are projected
    onto the images that downscale to LR (``srbench.images.lr_projection``)."""
    range_margin: float | None = None
    """Samples are bounded to within this distance of [0, 1] before projection (``srflow.value_range``). None, as in the
    released networks: samples may diverge. Dequantised HR images must lie within the margin."""
    relative_temperatures: tuple[float, ...] = ()
    """Factor on the temperature of each latent, finest first; empty, as in the paper: 1 for all. In the small 8x
    network, a cooler finest latent lowers LPIPS at equal PSNR (``docs/zoo.md``)."""

    def __post_init__(self) -> None:
        require_range(self, ["steps", "width"], 1, MAX_SIZE)
        require_range(self, ["transitions"], 0, MAX_SIZE)
        if not all(0 <= block < self.encoder.blocks for block in self.stacked):
            last = self.encoder.blocks - 1
            raise ValueError(f"stacked is {list(self.stacked)}; the encoder has blocks 0 to {last}; correct the preset")
        if not 0 < self.scale_floor < 1:
            raise ValueError(f"scale_floor is {self.scale_floor}; it has to be between 0 and 1")
        for name in ("log_deviation_bound", "range_margin"):
            if (bound := getattr(self, name)) is not None and not 0 < bound < math.inf:
                raise ValueError(f"{name} is {bound}; it has to be finite and above 0")
        if not all(0 <= factor < math.inf for factor in self.relative_temperatures):
            raise ValueError(f"relative_temperatures are {list(self.relative_temperatures)}; they have to be 0 or more")
        if self.relative_temperatures and len(self.relative_temperatures) != self.levels - 1:
            raise ValueError(
                f"there are {len(self.relative_temperatures)} relative_temperatures; "
                f"give one for each of the {self.levels - 1} latents, or none"
            )

    @classmethod
    def from_preset(cls, name: str) -> SRFlowConfig:
        """Read the size from a preset or a TOML file. Raises ConfigError."""
        return load_network(files("srflow") / "presets", name, cls)

    @property
    def levels(self) -> int:
        """Number of levels, L in the paper: 3 for 4x, 4 for 8x."""
        return int(math.log2(self.encoder.scale)) + 1

    @property
    def projected(self) -> bool:
        """True if samples are projected onto the images that downscale to LR."""
        return self.consistency == "residual"
