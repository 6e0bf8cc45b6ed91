"""The settings that all trainings share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

from srbench.files.config import require_range
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
    """Number of parts, computed one after another to save memory, of a process's share of a step. The gradient does not
    change if the loss is a mean over patches; ESRGAN and SRFlow's second stage compare statistics of each part."""
    patch: int
    """Side of an HR patch in pixels, a multiple of the scale."""
    learning_rate: float
    betas: tuple[float, float]
    schedule: Literal["step", "cosine"]
    """``step`` halves the rate at every milestone; ``cosine`` lowers it to LOWEST_RATE along half a cosine, and
    restarts at every milestone."""
    milestones: tuple[float, ...]
    """Fractions of the training, rising."""
    max_grad_norm: float
    """Largest norm of a gradient; longer gradients are clipped to it."""
    average: float
    """Decay of the exponential moving average of the weights, which is validated and saved; 0 turns it off."""
    validate_every: int
    best: str
    """Name of the validation metric that chooses the best weights."""
    checkpoint_every: int
    seed: int
    warm_up: int = 0
    """Linear warm-up steps. Adam's first steps are as long for small gradients as for large ones, and at the full
    learning rate they make a flow diverge."""

    def __post_init__(self) -> None:
        require_range(self, ["steps", "batch", "accumulate", "patch", "validate_every", "checkpoint_every"], 1)
        require_range(self, ["seed"], 0, LARGEST_SEED)
        require_range(self, ["warm_up"], 0)
        if not (0 < self.learning_rate < math.inf and self.max_grad_norm > 0):
            raise ValueError("learning_rate and max_grad_norm have to be above 0")
        if not all(0 <= share < 1 for share in (*self.betas, self.average)):
            raise ValueError(f"betas are {list(self.betas)} and average is {self.average}; they have to be in [0, 1)")
        if not all(0 <= before < after < 1 for before, after in pairwise((0.0, *self.milestones))):
            raise ValueError(f"milestones are {list(self.milestones)}; they have to rise between 0 and 1")

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / max(self.warm_up, 1))
        begun = [0, *(round(milestone * self.steps) for milestone in self.milestones)]
        passed = sum(step >= begin for begin in begun) - 1
        if self.schedule == "step":
            return float(self.learning_rate * 0.5**passed) * warm
        end = [*begun, self.steps][passed + 1]
        share = (step - begun[passed]) / (end - begun[passed])
        return (LOWEST_RATE + (self.learning_rate - LOWEST_RATE) * (1 + math.cos(math.pi * share)) / 2) * warm

    def check(self, processes: int) -> None:
        """Raise TrainingError if the processes cannot share a batch."""
        if self.batch % (processes * self.accumulate):
            raise TrainingError(
                f"training.batch {self.batch} cannot be split among {processes} processes in {self.accumulate} parts "
                "each; make it a multiple, or change training.accumulate"
            )


class TrainingPreset(Protocol):
    """A preset of any trainer."""

    @property
    def training(self) -> TrainingConfig:
        """Settings of the training."""

    @property
    def storage(self) -> Literal["float16", "float32"]:
        """Number type of the weights file."""
