"""The conditional flow: steps, levels, and the passes through all levels in both directions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from srflow.affine import SCALE_FLOOR
from srflow.config import SRFlowConfig
from srflow.features import Features, FeatureSize
from srflow.layers import AffineCoupling, AffineInjector, Chain, ChannelMixing, Condition, Split, Squeeze


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
    """A squeeze, flow layers and an optional split that factors out half of the channels as a latent."""

    @property
    def latent_channels(self) -> int:
        """Channels factored out; 0 without a split, as in the two deepest levels of the released networks."""
        last = self[-1]
        return last.latent_channels if isinstance(last, Split) else 0

    def factor_out(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Split the level's output into the next level's input and a list of the latent, empty without a split."""
        kept = x.shape[1] - self.latent_channels
        return (x[:, :kept], [x[:, kept:]]) if self.latent_channels else (x, [])

    def join(self, x: Tensor, latents: list[Tensor]) -> Tensor:
        """Undo ``factor_out``; pops the latent from the end of the list."""
        return torch.cat([x, latents.pop()], 1) if self.latent_channels else x


Forward = Callable[[Level, Tensor, Any], tuple[Tensor, Tensor]]
"""A level, its input and its condition -> output and log-determinant (b,)."""
Inverse = Callable[[Level, Tensor, Any], Tensor]
"""A level, its output and its condition -> input."""


class ConditionalFlow(nn.Module):
    """All levels, finest first."""

    levels: Sequence[Level]

    def __init__(self, levels: Iterable[Level]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)  # type: ignore[assignment]

    @classmethod
    def from_config(cls, config: SRFlowConfig) -> ConditionalFlow:
        """Build the flow of the paper: every level has transition steps, then flow steps (SRFlow, figure 3)."""
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
        """Compute the condition of every level from its features."""
        return [level.condition(own) for level, own in zip(self.levels, features, strict=True)]

    def latent_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Shapes (c, h, w) of the latents of an image of height x width, finest first."""
        shapes, channels = [], 3
        for depth, level in enumerate(self.levels, 1):
            channels = 4 * channels - level.latent_channels
            if level.latent_channels:
                shapes.append((level.latent_channels, height >> depth, width >> depth))
        return [*shapes, (channels, height >> len(self.levels), width >> len(self.levels))]

    def encode(
        self, x: Tensor, conditions: Sequence[Any], forward: Forward = Level.__call__
    ) -> tuple[list[Tensor], Tensor]:
        """Encode x (b, 3, H, W) into latents, finest first, and log|det d latents / d x|, (b,).

        ``forward`` applies a level, given its entry in ``conditions``.
        """
        latents, log_det = [], x.new_zeros(x.shape[0])
        for level, condition in zip(self.levels, conditions, strict=True):
            x, level_log_det = forward(level, x, condition)
            log_det = log_det + level_log_det
            x, latent = level.factor_out(x)
            latents += latent
        return [*latents, x], log_det

    def decode(self, latents: Sequence[Tensor], conditions: Sequence[Any], inverse: Inverse = Level.inverse) -> Tensor:
        """Undo ``encode``: latents -> x (b, 3, H, W). Conditions with batch size 1 apply to any batch of latents."""
        *factored_out, x = latents
        for level, condition in zip(reversed(self.levels), reversed(conditions), strict=True):
            x = inverse(level, level.join(x, factored_out), condition)
        return x

    @torch.no_grad()
    def initialize(self, x: Tensor, features: Sequence[Features]) -> None:
        """Initialise every layer from a first batch x (b, 3, H, W)."""
        self.encode(x, features, lambda level, x, own: (level.initialize(x, own), x.new_zeros(())))
