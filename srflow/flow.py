"""The conditional flow: steps, levels, and the passes through all levels in both directions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from srflow.affine import SCALE_FLOOR
from srflow.compute.precision import products
from srflow.config import SRFlowConfig
from srflow.features import Features, FeatureSize
from srflow.layers import AffineCoupling, AffineInjector, Chain, ChannelMixing, Condition, FlowLayer, Split, Squeeze


class FlowStep(Chain):
    """ActNorm, invertible 1x1 convolution, affine injector, conditional affine coupling (SRFlow, figure 2)."""

    def __init__(self, channels: int, features: FeatureSize, width: int, floor: float = SCALE_FLOOR) -> None:
        layers: dict[str, nn.Module] = {
            "mixing": ChannelMixing(channels),
            "injector": AffineInjector(channels, features, width, floor),
            "coupling": AffineCoupling(channels, features, width, floor),
        }
        super().__init__(OrderedDict(layers))


class Level(Chain):
    """A squeeze, any layers, and perhaps a split at the end, behind which half of the channels leave as a latent."""

    @property
    def leaving(self) -> int:
        """Channels that leave; 0 without a split, as in the two deepest levels of the released networks."""
        last = self[-1]
        return last.leaving if isinstance(last, Split) else 0

    def part(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output of the level -> the input of the next one, and the latent that leaves, if one does."""
        kept = x.shape[1] - self.leaving
        return (x[:, :kept], [x[:, kept:]]) if self.leaving else (x, [])

    def join(self, x: Tensor, latents: list[Tensor]) -> Tensor:
        """Undo ``part``; takes the latent from the end of the list."""
        return torch.cat([x, latents.pop()], 1) if self.leaving else x


Forward = Callable[[Level, Tensor, Any], tuple[Tensor, Tensor]]
"""A level, its input and its condition -> output and log-determinant (b,)."""
Inverse = Callable[[Level, Tensor, Any], Tensor]
"""A level, its output and its condition -> input."""


def condition(layer: FlowLayer, features: Features) -> Condition:
    """``layer.condition``, in the precision that conditions have."""
    with products(features.own.device, tf32=True):
        return layer.condition(features)


class ConditionalFlow(nn.Module):
    """All levels, finest first."""

    levels: Sequence[Level]

    def __init__(self, levels: Iterable[Level]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)  # type: ignore[assignment]

    @classmethod
    def from_config(cls, config: SRFlowConfig) -> ConditionalFlow:
        """The flow of SRFlow: in every level transition steps, then flow steps (SRFlow, figure 3)."""
        encoder, channels, levels = config.encoder, 3, []
        for depth in range(1, config.levels + 1):
            channels *= 4
            upscaling = Fraction(encoder.scale, 2**depth)
            features = FeatureSize(encoder.features, encoder.features * len(config.stacked), upscaling)
            layers: dict[str, nn.Module] = {
                "squeeze": Squeeze(),
                "transitions": Chain(*(ChannelMixing(channels) for _ in range(config.transitions))),
                "steps": Chain(
                    *(FlowStep(channels, features, config.width, config.scale_floor) for _ in range(config.steps))
                ),
            }
            # The released networks split after every level but the last two.
            if depth < config.levels - 1:
                layers["split"] = Split(channels, config.log_deviation_bound)
                channels //= 2
            levels.append(Level(OrderedDict(layers)))
        return cls(levels)

    def conditions(self, features: Sequence[Features]) -> list[Condition]:
        """The conditions of every level from its features."""
        return [condition(level, own) for level, own in zip(self.levels, features, strict=True)]

    def latent_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Shapes (c, h, w) of the latents of an image of height x width, finest first, the deepest last."""
        shapes, channels = [], 3
        for depth, level in enumerate(self.levels, 1):
            channels = 4 * channels - level.leaving
            if level.leaving:
                shapes.append((level.leaving, height >> depth, width >> depth))
        return [*shapes, (channels, height >> len(self.levels), width >> len(self.levels))]

    def encode(
        self, x: Tensor, conditions: Sequence[Any], forward: Forward = Level.__call__
    ) -> tuple[list[Tensor], Tensor]:
        """From x (b, 3, H, W): latents, finest first, the deepest last, and log|det d latents / d x| (b,).

        ``forward`` computes a level, from what ``conditions`` has for it.
        """
        latents, log_det = [], x.new_zeros(x.shape[0])
        with products(x.device, tf32=False):
            for level, condition in zip(self.levels, conditions, strict=True):
                x, share = forward(level, x, condition)
                log_det = log_det + share
                x, leaving = level.part(x)
                latents += leaving
        return [*latents, x], log_det

    def decode(self, latents: Sequence[Tensor], conditions: Sequence[Any], inverse: Inverse = Level.inverse) -> Tensor:
        """Undo ``encode``: latents -> x (b, 3, H, W). Conditions of a batch of 1 serve any number of latents."""
        *leaving, x = latents
        with products(x.device, tf32=False):
            for level, condition in zip(reversed(self.levels), reversed(conditions), strict=True):
                x = inverse(level, level.join(x, leaving), condition)
        return x

    @torch.no_grad()
    def initialize(self, x: Tensor, features: Sequence[Features]) -> None:
        """Let every layer set its parameters from a first batch x (b, 3, H, W)."""
        self.encode(x, features, lambda level, x, own: (level.initialize(x, own), x.new_zeros(())))
