"""The size of an SRFlow network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from baselines.rrdb import RRDBConfig


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
    transitions: int = 2
    """Steps without a coupling at the start of every level."""

    @property
    def levels(self) -> int:
        """L in the paper: 3 for 4x, 4 for 8x."""
        return int(math.log2(self.encoder.scale)) + 1
