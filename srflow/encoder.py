"""The LR encoder: an RRDB trunk whose features condition every level of the flow (SRFlow, section 3.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.rrdb import RRDBConfig, RRDBTrunk
from srflow.features import Features


class Encoder(RRDBTrunk):
    """Compute the features of every level, finest (half the HR size) first, deepest (half the LR size) last."""

    def __init__(self, config: RRDBConfig, stacked: tuple[int, ...]) -> None:
        # The finest level has half the HR size, so the last upscaling of an RRDBNet and its output layers are left out.
        super().__init__(config, int(math.log2(config.scale)) - 1)
        self.stacked = stacked

    def forward(self, lr: Tensor) -> list[Features]:
        """(b, 3, h, w) in [0, 1], h and w even -> the features of each level."""
        trunk, outputs = self.trunk(lr, self.stacked)
        stacked = torch.cat([outputs[block] for block in self.stacked], 1)
        sizes = [F.avg_pool2d(trunk, 2), trunk]
        for step in range(len(self.conv_up)):
            sizes.append(self.upscale(sizes[-1], step))
        return [Features(own, stacked) for own in reversed(sizes)]
