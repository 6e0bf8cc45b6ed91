"""What a trainer gives to the loop: networks with their optimisers and losses; and what the loop gives to a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from srbench.training.config import TrainingConfig
from srbench.training.patches import generator_at

Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True)
class Batch:
    """Patches of a step: all of them, or a process's share, or a part of that."""

    lr: Tensor
    """(b, 3, p/s, p/s) in [0, 1]."""
    hr: Tensor
    """(b, 3, p, p) in [0, 1]."""
    step: int
    first: int
    """Number of the first of these patches among all of the step."""
    seed: int

    def generators(self, purpose: int) -> list[torch.Generator]:
        """One for each patch: what patch j draws depends on seed, step, j and the purpose alone.

        So all that is random is the same on any number of processes, and however a step is taken apart.
        """
        patches = range(self.first, self.first + len(self.hr))
        return [generator_at(self.seed, self.step, patch, purpose) for patch in patches]

    def uniform(self) -> Tensor:
        """As large as HR, in [0, 1)."""
        noise = [torch.rand(self.hr.shape[1:], generator=generator) for generator in self.generators(1)]
        return torch.stack(noise).to(self.hr.device)

    def rolled(self, images: Tensor, shift: int) -> Tensor:
        """Images (b, 3, p, p), each rolled down and right by less than ``shift`` pixels, its own number each way."""
        if not shift:
            return images
        shifts = [torch.randint(shift, (2,), generator=generator).tolist() for generator in self.generators(2)]
        return torch.stack([image.roll(shift, (1, 2)) for image, shift in zip(images, shifts, strict=True)])

    def parts(self, number: int) -> list[Batch]:
        """Equal parts in order; ``number`` has to divide the length."""
        length = len(self.hr) // number
        return [
            Batch(self.lr[at : at + length], self.hr[at : at + length], self.step, self.first + at, self.seed)
            for at in range(0, len(self.hr), length)
        ]


Loss = Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]
"""From a batch to the scalar to minimise, a mean over the batch, and the scalars to write down, by name."""


@dataclass(frozen=True)
class Learner:
    """A network that a step improves. The learners of a training take their turns in every step."""

    name: str
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    rate: float = 1.0
    """Its learning rate over the preset's."""

    def parameters(self) -> list[Tensor]:
        """All that its optimiser changes."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def adam(groups: Iterable[Iterable[Tensor]], config: TrainingConfig) -> torch.optim.Adam:
    """Adam with one parameter group for each of ``groups``, all in one pass over the memory (``fused``)."""
    tables = [{"params": list(group)} for group in groups]
    return torch.optim.Adam(tables, config.learning_rate, config.betas, fused=True)


def channels_last(network: Network) -> Network:
    """Lay a network's weights out for convolutions over channels-last images: 1.5 times as fast on a CPU."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
