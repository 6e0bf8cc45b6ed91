"""The conditional flow: steps, levels, and the way through all levels in both directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from srflow.conditions import (
    Features,
    FirstConvolution,
    FirstWeights,
    convolve_features,
)
from srflow.config import SRFlowConfig
from srflow.cores import Cores, fit_in_cache
from srflow.layers import (
    SCALE_FLOOR,
    Affine,
    AffineCoupling,
    AffineInjector,
    ChannelMixing,
    FlowLayer,
    Folded,
    NetworkWeights,
    Split,
    Squeeze,
    apply_network,
    to_affine,
)
from srflow.precision import products


class StepCondition(NamedTuple):
    """What one flow step takes from the LR picture."""

    injector: Affine
    """(b, c, h, w) each."""
    coupling: Tensor
    """(b, width, h, w): the LR picture's share of the coupling's first convolution, normalised."""


Conditions = list[list[Future[StepCondition]]]
"""What the flow takes from the LR picture, finest level first, perhaps still being computed."""


class TransitionStep(ChannelMixing, FlowLayer[None]):
    """ActNorm and 1x1 convolution without a coupling: eases the checkerboard a squeeze leaves (SRFlow, section 3.4)."""

    def forward(self, x: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        """(b, c, h, w) -> the same shape, and the log-determinant (b,)."""
        return self.normalize_and_mix(x)

    def inverse(self, z: Tensor, cond: None = None) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        return self.unmix(z)


class FlowStep(ChannelMixing, FlowLayer[StepCondition]):
    """ActNorm, invertible 1x1 convolution, affine injector, conditional affine coupling (SRFlow, figure 2)."""

    def __init__(self, channels: int, width: int, first: FirstConvolution, floor: float = SCALE_FLOOR) -> None:
        super().__init__(channels)
        self.injector, self.coupling = AffineInjector(channels, width), AffineCoupling(channels, width, floor)
        self.first = first

    @torch.no_grad()
    def initialize(self, x: Tensor, features: Features) -> Tensor:
        """Set every ActNorm of the step from a first batch x (b, c, h, w); returns the step's output."""
        width = self.first.own.shape[0] // 2
        plain = Folded(self.first.own.new_ones(width, 1, 1), self.first.own.new_zeros(width))
        injector, coupling = (
            convolve_features(features, weights, self.first.enlargement)
            for weights in self.first.folded([plain, plain])
        )
        self.norm.initialize(x)
        self.injector.network.initialize(injector)
        mixed, _ = self.normalize_and_mix(x)
        self.coupling.initialize(self.injector(mixed, self.condition(features).injector)[0], coupling)
        return self.forward(x, self.condition(features))[0]

    def condition(self, features: Features) -> StepCondition:
        """All that the step takes from the LR picture."""
        (injector, coupling), network = self.constant("condition", self._weights, *self.parameters())
        with products(features.own.device, tf32=True):
            hidden = convolve_features(features, injector, self.first.enlargement).relu_()
            output = apply_network(hidden, network)
            share = convolve_features(features, coupling, self.first.enlargement)
        return StepCondition(to_affine(output, self.coupling.floor), share)

    def _weights(self) -> tuple[list[FirstWeights], NetworkWeights]:
        norms = [layer.network.norm_first.folded() for layer in (self.injector, self.coupling)]
        return self.first.folded(norms), self.injector.network.folded()

    def forward(self, x: Tensor, cond: StepCondition) -> tuple[Tensor, Tensor]:
        """(b, c, h, w) -> the same shape, and the log-determinant (b,)."""
        x, mixed = self.normalize_and_mix(x)
        x, injected = self.injector(x, cond.injector)
        x, coupled = self.coupling(x, cond.coupling)
        return x, mixed + injected + coupled

    def inverse(self, z: Tensor, cond: StepCondition) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        z = self.coupling.inverse(z, cond.coupling)
        return self.unmix(self.injector.inverse(z, cond.injector))


class Level(nn.Module):
    """Squeeze, transition steps, flow steps, and at the end the split where half of the channels leave.

    ``channels`` counts the input's; after the squeeze there are four times as many.
    """

    def __init__(self, channels: int, transitions: int, steps: list[FlowStep], split: Split | None) -> None:
        super().__init__()
        self.squeeze = Squeeze()
        self.transitions = nn.ModuleList(TransitionStep(4 * channels) for _ in range(transitions))
        self.steps = nn.ModuleList(steps)
        self.split = split

    def flow_steps(self) -> list[FlowStep]:
        """The flow steps, in encoding order."""
        return [step for step in self.steps if isinstance(step, FlowStep)]

    def unconditional(self) -> list[FlowLayer[None]]:
        """The layers before the flow steps, in encoding order."""
        return [self.squeeze, *(step for step in self.transitions if isinstance(step, TransitionStep))]

    @torch.no_grad()
    def initialize(self, x: Tensor, features: Features) -> Tensor:
        """Set every ActNorm of the level from a first batch x (b, c, h, w); returns what goes on to the next level."""
        for layer in self.unconditional():
            if isinstance(layer, TransitionStep):
                layer.norm.initialize(x)
            x, _ = layer(x, None)
        for step in self.flow_steps():
            x = step.initialize(x, features)
        return x if self.split is None else self.split(x, None)[0][:, : self.split.kept]

    def encode(self, x: Tensor, conditions: Sequence[Future[StepCondition]]) -> tuple[Tensor, Tensor | None, Tensor]:
        """From x (b, c, h, w): what goes on, the latent that leaves (None without a split), log_det (b,)."""
        x, log_det = self.enter(x)
        for step, condition in zip(self.flow_steps(), conditions, strict=True):
            x, share = step(x, condition.result())
            log_det = log_det + share
        x, latent, share = self.leave(x)
        return x, latent, log_det + share

    def enter(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Squeeze and transition steps: (b, c, h, w) -> (b, 4c, h/2, w/2), log_det (b,)."""
        log_det = x.new_zeros(x.shape[0])
        for layer in self.unconditional():
            x, share = layer(x, None)
            log_det = log_det + share
        return x, log_det

    def leave(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """The split: what goes on, the latent that leaves (None without a split), log_det (b,)."""
        if self.split is None:
            return x, None, x.new_zeros(x.shape[0])
        x, log_det = self.split(x, None)
        return x[:, : self.split.kept], x[:, self.split.kept :], log_det

    def decode(self, x: Tensor, latent: Tensor | None, conditions: Sequence[Future[StepCondition]]) -> Tensor:
        """Undo ``encode``. Several samples of one LR picture are decoded as many at a time as the caches hold."""
        if self.split is not None:
            assert latent is not None
            x = self.split.inverse(torch.cat([x, latent], 1))
        shared = conditions[-1].result().coupling
        together = fit_in_cache(shared, len(x)) if len(shared) == 1 else len(x)
        return torch.cat([self._undo_steps(samples, conditions) for samples in torch.split(x, together)])

    def _undo_steps(self, x: Tensor, conditions: Sequence[Future[StepCondition]]) -> Tensor:
        for step, condition in zip(reversed(self.flow_steps()), reversed(conditions), strict=True):
            x = step.inverse(x, condition.result())
        for layer in reversed(self.unconditional()):
            x = layer.inverse(x, None)
        return x


class ConditionalFlow(nn.Module):
    """All levels, finest first."""

    def __init__(self, config: SRFlowConfig) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        width, features = config.width, config.encoder.features
        stacked = features * len(config.stacked)
        channels = 3
        for level in range(1, config.levels + 1):
            enlargement = Fraction(config.encoder.scale, 2**level)
            steps = [
                FlowStep(
                    4 * channels, width, FirstConvolution(features, stacked, width, enlargement), config.scale_floor
                )
                for _ in range(config.steps)
            ]
            # The released networks split after every level but the last two.
            split = Split(4 * channels, config.log_deviation_bound) if level < config.levels - 1 else None
            self.levels.append(Level(channels, config.transitions, steps, split))
            channels = 4 * channels if split is None else 2 * channels

    def conditions(self, features: list[Features], cores: Cores) -> Conditions:
        """Have the conditions of every step computed, one list a level, from one set of features a level.

        The deepest level's last step comes first: there decoding begins, and need not wait for the rest.
        """
        levels = [
            [cores.executor.submit(step.condition, own) for step in reversed(level.flow_steps())]
            for level, own in zip(reversed(self.each()), reversed(features), strict=True)
        ]
        return [level[::-1] for level in reversed(levels)]

    def each(self) -> list[Level]:
        """The levels, finest first."""
        return [level for level in self.levels if isinstance(level, Level)]

    def latent_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Shapes (c, h, w) of the latents of a picture of height x width, finest first, the deepest last."""
        shapes, channels = [], 3
        for depth, level in enumerate(self.each(), 1):
            channels, split = 4 * channels, level.split
            if split is not None:
                shapes.append((channels - split.kept, height >> depth, width >> depth))
                channels = split.kept
        return [*shapes, (channels, height >> len(self.levels), width >> len(self.levels))]

    def encode(self, x: Tensor, conditions: Conditions) -> tuple[list[Tensor], Tensor]:
        """From x (b, 3, H, W): latents, finest first, the deepest last, and log|det d latents / d x| (b,)."""
        latents, log_det = [], x.new_zeros(x.shape[0])
        for level, own in zip(self.each(), conditions, strict=True):
            x, latent, share = level.encode(x, own)
            log_det = log_det + share
            latents += [] if latent is None else [latent]
        return [*latents, x], log_det

    def decode(self, latents: list[Tensor], conditions: Conditions, cores: Cores) -> Tensor:
        """Undo ``encode``: latents -> x (b, 3, H, W). Conditions of a batch of 1 serve any number of latents."""
        if conditions[-1][-1].result().coupling.shape[0] > 1:
            return self._decode(conditions, latents)
        share = math.ceil(len(latents[0]) / cores.number)
        samples = list(zip(*(torch.split(z, share) for z in latents), strict=True))
        if len(samples) == 1:
            return self._decode(conditions, latents)
        return torch.cat(list(cores.executor.map(partial(self._decode, conditions), samples)))

    def _decode(self, conditions: Conditions, latents: Sequence[Tensor]) -> Tensor:
        *leaving, x = latents
        for level, own in zip(reversed(self.each()), reversed(conditions), strict=True):
            x = level.decode(x, leaving.pop() if level.split is not None else None, own)
        return x
