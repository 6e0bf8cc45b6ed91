"""The settings that all trainings share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

from srbench.interfaces import LARGEST_SEED
from srbench.training import TrainingError

LOWEST_RATE = 1e-7
"""Final learning rate of a cosine schedule, as in the released configurations of RRDB."""


@dataclass(frozen=True)
class TrainingConfig:
    """The table ``training`` of a preset, the same for every model."""

    steps: int
    batch: int
    """Patches per step, over all processes."""
    accumulate: int
    """Parts in which a process computes its share of a step one after another: less memory, the same step."""
    patch: int
    """Side of an HR patch in pixels, a multiple of the scale."""
    learning_rate: float
    betas: tuple[float, float]
    schedule: Literal["step", "cosine"]
    """``step`` halves the rate at every milestone; ``cosine`` lowers it to LOWEST_RATE along half a cosine, and
    restarts at every milestone."""
    milestones: tuple[float, ...]
    """Fractions of the training, in rising order."""
    max_grad_norm: float
    """Norm to which longer gradients are clipped."""
    average: float
    """Decay of the exponential moving average of the weights, which is validated and saved; 0 disables it."""
    validate_every: int
    best: str
    """Name of the validation metric that chooses the best weights."""
    checkpoint_every: int
    seed: int

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        begun = [0, *(round(milestone * self.steps) for milestone in self.milestones)]
        passed = sum(step >= begin for begin in begun) - 1
        if self.schedule == "step":
            return float(self.learning_rate * 0.5**passed)
        end = [*begun, self.steps][passed + 1]
        share = (step - begun[passed]) / (end - begun[passed])
        return LOWEST_RATE + (self.learning_rate - LOWEST_RATE) * (1 + math.cos(math.pi * share)) / 2

    def check(self, processes: int) -> None:
        """Raise TrainingError for the first unusable value."""
        positive = ("steps", "batch", "accumulate", "patch", "validate_every", "checkpoint_every")
        for name, value in vars(self).items():
            if name in positive and value < 1:
                raise TrainingError(f"training.{name} is {value}; it has to be 1 or more")
        if self.batch % (processes * self.accumulate):
            raise TrainingError(
                f"training.batch {self.batch} cannot be shared by {processes} processes in {self.accumulate} parts "
                "each; make it a multiple, or change training.accumulate"
            )
        if not (0 < self.learning_rate < math.inf and self.max_grad_norm > 0):
            raise TrainingError("training.learning_rate and training.max_grad_norm have to be above 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise TrainingError(f"training.betas are {list(self.betas)}; they have to be in [0, 1)")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise TrainingError(f"training.seed is {self.seed}; it has to be 0 to {LARGEST_SEED}")
        if not 0 <= self.average < 1:
            raise TrainingError(f"training.average is {self.average}; it has to be in [0, 1), 0 for no average")
        if not all(0 <= before < after < 1 for before, after in pairwise((0.0, *self.milestones))):
            raise TrainingError(f"training.milestones are {list(self.milestones)}; they have to rise between 0 and 1")


class TrainingPreset(Protocol):
    """A preset of any trainer."""

    @property
    def training(self) -> TrainingConfig:
        """Settings of the training."""

    @property
    def storage(self) -> Literal["float16", "float32"]:
        """Number type of the weights file."""
