"""RRDBNet: the residual-in-residual dense network of ESRGAN, and the LR encoder of SRFlow.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV workshops 2018, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srbench.files.config import load_network, require_range
from srbench.images.network_input import require_lr
from srbench.interfaces import WeightsInfo

SLOPE = 0.2
"""Negative slope of every LeakyReLU."""
RESIDUAL = 0.2
"""Factor on a block's output before it is added to the input (residual scaling)."""
MAX_SIZE = 10_000
"""Upper limit on blocks and channels: far above anything trained, yet built within seconds."""
NO_MEMORY = (None,) * 4


@dataclass(frozen=True)
class RRDBConfig:
    """Size of an RRDBNet."""

    scale: Literal[2, 4, 8]
    features: int
    """Channels of the trunk (64 in the papers)."""
    growth: int
    """Channels added by each convolution of a dense block (32 in the papers)."""
    blocks: int
    """Number of residual-in-residual dense blocks (23 in ESRGAN)."""
    long_skip: Literal["first", "trunk"] = "first"
    """Tensor added to the output of the convolution after the trunk: the output of the first convolution (ESRGAN), or
    of the trunk (the released SRFlow networks). The same weights give different images."""

    def __post_init__(self) -> None:
        require_range(self, ["features", "growth", "blocks"], 1, MAX_SIZE)

    @classmethod
    def from_preset(cls, name: str) -> RRDBConfig:
        """Read the size from an ``rrdb`` preset or a TOML file. Raises ConfigError."""
        return load_network(files("baselines") / "presets" / "rrdb", name, cls)


class DenseBlock(nn.Module):
    """Five densely connected convolutions and a residual connection."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        widths = [features + i * growth for i in range(5)]
        outputs = [growth] * 4 + [features]
        convs = [nn.Conv2d(i, o, 3, padding=1) for i, o in zip(widths, outputs, strict=True)]
        for conv in convs:
            # A tenth of He initialisation, so that deep residual stacks start near the identity (ESRGAN, section 3.1).
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data.mul_(0.1)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor, memory: Sequence[Tensor | None] = NO_MEMORY) -> Tensor:
        """(b, features, h, w) -> the same shape; ``memory`` comes from ``_shared_memory``."""
        *growing, last = self.convs
        maps, joined = [x], x
        for conv, out in zip(growing, memory, strict=True):
            maps.append(F.leaky_relu(conv(joined), SLOPE, inplace=True))
            joined = torch.cat(maps, 1, out=out)
        return _residual(x, last(joined))


class RRDB(nn.Sequential):
    """Three dense blocks inside another residual connection."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, x: Tensor, memory: Sequence[Tensor | None] = NO_MEMORY) -> Tensor:
        """(b, features, h, w) -> the same shape."""
        out = x
        for block in self:
            out = block(out, memory)
        return _residual(x, out)


def _shared_memory(x: Tensor, growth: int) -> Sequence[Tensor | None]:
    """Buffers in which all dense blocks concatenate maps like x (b, features, h, w); None if gradients need the maps.

    Allocating anew costs page faults on a CPU.
    """
    if x.device.type != "cpu" or torch.is_grad_enabled():
        return NO_MEMORY
    batch, features, height, width = x.shape
    pixels, widths = batch * height * width, [features + i * growth for i in range(1, 5)]
    memory = x.new_empty(pixels * widths[-1])
    return [memory[: pixels * c].view(batch, height, width, c).permute(0, 3, 1, 2) for c in widths]


def _residual(x: Tensor, out: Tensor) -> Tensor:
    """Add a block's scaled output to its input x, in place in ``out``, which no gradient needs."""
    return out.mul_(RESIDUAL).add_(x)


class RRDBTrunk(nn.Module):
    """Trunk of RRDBNet and of SRFlow's encoder: features at LR size, then ``doublings`` upscalings by two."""

    def __init__(self, config: RRDBConfig, doublings: int) -> None:
        super().__init__()
        self.config = config
        width = config.features
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(RRDB(width, config.growth) for _ in range(config.blocks))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(doublings))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def trunk(
        self, lr: Tensor, kept: Collection[int] = (), compute: Callable[[nn.Module, Tensor], Tensor] | None = None
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """(b, 3, h, w) in [0, 1] -> trunk features (b, features, h, w), and outputs of the same shape by block index.

        ``kept`` holds the indices, from 0, of the blocks whose outputs are returned. ``compute`` applies a block to a
        map; None applies it to the whole map at once. Maps are channels last, which is faster on a CPU.
        """
        first = x = self.conv_first(lr.contiguous(memory_format=torch.channels_last))
        outputs, memory = {}, NO_MEMORY if compute else _shared_memory(x, self.config.growth)
        for index, block in enumerate(self.body):
            x = compute(block, x) if compute else block(x, memory)
            if index in kept:
                outputs[index] = x
        skip = first if self.config.long_skip == "first" else x
        return self.conv_body(x).add_(skip), outputs

    def upscale(self, features: Tensor, step: int) -> Tensor:
        """Double the size: (b, features, h, w) -> (b, features, 2h, 2w); ``step`` is the index of the upscaling."""
        larger = F.interpolate(features, scale_factor=2)
        return F.leaky_relu(self.conv_up[step](larger), SLOPE, inplace=True)


class RRDBNet(RRDBTrunk):
    """Dense residual trunk at LR size, then nearest-neighbour upscalings by two, each with a convolution."""

    weights: WeightsInfo
    """Provenance of the weights; set only if they come from a file."""

    def __init__(self, config: RRDBConfig) -> None:
        super().__init__(config, int(math.log2(config.scale)))
        self.scale: int = config.scale
        self.conv_hr = nn.Conv2d(config.features, config.features, 3, padding=1)
        self.conv_last = nn.Conv2d(config.features, 3, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w), not clamped. Raises ImageError for anything else."""
        require_lr(lr, values=not self.training)
        features, _ = self.trunk(lr)
        return self.reconstruct(features)

    def reconstruct(self, features: Tensor) -> Tensor:
        """Features of the trunk (n, features, h, w) -> output (n, 3, s*h, s*w)."""
        for step in range(len(self.conv_up)):
            features = self.upscale(features, step)
        out: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(features), SLOPE, inplace=True))
        return out
