"""Learners (networks with optimisers and losses, which a trainer passes to the loop) and the batches
of their losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from srbench.training.config import TrainingConfig
from srbench.training.patches import generator_at

Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True)
class Batch:
    """Patches: a whole step, a process's share of it, or a part of that share."""

    lr: Tensor
    """(b, 3, p/s, p/s) in [0, 1]."""
    hr: Tensor
    """(b, 3, p, p) in [0, 1]."""
    step: int
    first: int
    """Index of the first patch within the step."""
    seed: int

    def generators(self, purpose: int) -> list[torch.Generator]:
        """One generator per patch, seeded with seed, step, patch index and purpose.

        Random numbers therefore depend neither on the number of processes nor on the number of parts.
        """
        patches = range(self.first, self.first + len(self.hr))
        return [generator_at(self.seed, self.step, patch, purpose) for patch in patches]

    def uniform(self) -> Tensor:
        """Draw uniform noise in [0, 1) with the shape of HR."""
        noise = [torch.rand(self.hr.shape[1:], generator=generator) for generator in self.generators(1)]
        return torch.stack(noise).to(self.hr.device)

    def rolled(self, images: Tensor, shift: int) -> Tensor:
        """Roll each image of (b, 3, p, p) down and right by random offsets of 0 to ``shift`` - 1 pixels."""
        if not shift:
            return images
        shifts = [torch.randint(shift, (2,), generator=generator).tolist() for generator in self.generators(2)]
        return torch.stack([image.roll(shift, (1, 2)) for image, shift in zip(images, shifts, strict=True)])

    def parts(self, number: int) -> list[Batch]:
        """Split into equal parts, in order; ``number`` has to divide the number of patches."""
        length = len(self.hr) // number
        return [
            Batch(self.lr[at : at + length], self.hr[at : at + length], self.step, self.first + at, self.seed)
            for at in range(0, len(self.hr), length)
        ]


Loss = Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]
"""A function of a batch: the scalar to minimise, and named scalars for the log."""


@dataclass(frozen=True)
class Learner:
    """A network to train, with its optimiser and loss. The learners of a training take turns in every step."""

    name: str
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    rate: float = 1.0
    """Learning rate relative to the preset's."""

    def parameters(self) -> list[Tensor]:
        """All parameters of the optimiser."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def adam(groups: Iterable[Iterable[Tensor]], config: TrainingConfig) -> torch.optim.Adam:
    """Adam with one parameter group for each of ``groups``."""
    tables = [{"params": list(group)} for group in groups]
    return torch.optim.Adam(tables, config.learning_rate, config.betas, fused=True)


def moving_average(network: torch.nn.Module, decay: float) -> AveragedModel | None:
    """The exponential moving average of a network's weights and buffers; None for a decay of 0."""
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


def channels_last(network: Network) -> Network:
    """Convert the weights to channels-last memory, which is faster on a CPU."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
