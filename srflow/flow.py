"""The conditional flow: steps, levels, and the way through all levels in both directions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor, nn

from srflow.affine import SCALE_FLOOR
from srflow.compute import parallel
from srflow.config import SRFlowConfig
from srflow.features import Features, FeatureSize
from srflow.layers import (
    AffineCoupling,
    AffineInjector,
    Chain,
    ChannelMixing,
    Condition,
    Split,
    Squeeze,
)


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
    """A squeeze, any layers, and a split at the end where half of the channels leave as a latent."""

    def condition(self, features: Features) -> Condition:
        """The conditions of all layers, the last one first: there decoding begins, and need not wait for the rest."""
        return [layer.condition(features) for layer in reversed(self.layers())][::-1]

    @property
    def exit(self) -> Split | None:
        """The split, where half of the channels leave; none in the two deepest levels of the released networks."""
        last = self[-1]
        return last if isinstance(last, Split) else None


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
        """The conditions of every level, from its features, begun with the deepest level as decoding does."""
        levels = zip(reversed(self.levels), reversed(features), strict=True)
        return [level.condition(own) for level, own in levels][::-1]

    def latent_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Shapes (c, h, w) of the latents of an image of height x width, finest first, the deepest last."""
        shapes, channels = [], 3
        for depth, level in enumerate(self.levels, 1):
            channels, split = 4 * channels, level.exit
            if split is not None:
                shapes.append((channels - split.kept, height >> depth, width >> depth))
                channels = split.kept
        return [*shapes, (channels, height >> len(self.levels), width >> len(self.levels))]

    def encode(self, x: Tensor, conditions: Sequence[Condition]) -> tuple[list[Tensor], Tensor]:
        """From x (b, 3, H, W): latents, finest first, the deepest last, and log|det d latents / d x| (b,)."""
        latents, log_det = [], x.new_zeros(x.shape[0])
        for level, condition in zip(self.levels, conditions, strict=True):
            x, share = level(x, condition)
            log_det = log_det + share
            x, leaving = part(level, x)
            latents += leaving
        return [*latents, x], log_det

    def decode(self, latents: Sequence[Tensor], conditions: Sequence[Condition]) -> Tensor:
        """Undo ``encode``: latents -> x (b, 3, H, W). Conditions of a batch of 1 serve any number of latents."""
        *leaving, x = latents
        for level, condition in zip(reversed(self.levels), reversed(conditions), strict=True):
            if level.exit is not None:
                x = torch.cat([x, leaving.pop()], 1)
            x = parallel.in_cache(partial(level.inverse, condition=condition), x, condition)
        return x

    @torch.no_grad()
    def initialize(self, x: Tensor, features: Sequence[Features]) -> None:
        """Let every layer set its parameters from a first batch x (b, 3, H, W)."""
        for level, own in zip(self.levels, features, strict=True):
            for layer in level.leaves():
                layer.initialize(x, own)
                x, _ = layer(x, layer.condition(own))
            x, _ = part(level, x)


def part(level: Level, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A level's output: what goes on to the next one, and the latent that leaves, if one does."""
    return (x, []) if level.exit is None else (x[:, : level.exit.kept], [x[:, level.exit.kept :]])
