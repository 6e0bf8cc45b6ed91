"""Settings shared by all trainings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

from srbench.files.config import require_range
from srbench.interfaces import LARGEST_SEED
from srbench.machine.precision import TF32_DEVICE, has_bfloat16
from srbench.training import TrainingError
from srbench.words import number_of

LOWEST_RATE = 1e-7
"""Final learning rate of a cosine schedule, as in the released configurations of RRDB."""


@dataclass(frozen=True)
class TrainingConfig:
    """The table ``training`` of a preset, the same for every model."""

    steps: int
    batch: int
    """Patches per step, over all processes."""
    grad_accumulation: int
    """Gradient accumulation: number of parts into which a process splits its share of a step to save memory. This
    leaves the gradient unchanged if the loss is a mean over patches; ESRGAN and SRFlow's second stage instead compute
    statistics of each part."""
    patch: int
    """Side of an HR patch in pixels, a multiple of the scale."""
    learning_rate: float
    betas: tuple[float, float]
    schedule: Literal["step", "cosine", "constant-cosine"]
    """``step`` halves the learning rate at every milestone; ``cosine`` lowers it to LOWEST_RATE along half a cosine and
    restarts at every milestone; ``constant-cosine`` keeps it until the first milestone, and goes on as ``cosine``."""
    milestones: tuple[float, ...]
    """Increasing fractions of the training."""
    max_grad_norm: float
    """Gradient norm above which gradients are clipped."""
    ema_decay: float
    """EMA decay of the weights that are validated and saved; 0 disables averaging."""
    validate_every: int
    """Steps between validations. The initial weights are validated too, and the first ones by a tenth of the steps."""
    select_by: str
    """Name of the validation metric that selects the best weights."""
    checkpoint_every: int
    """Largest number of steps between checkpoints, from which a training resumes; each replaces the one before."""
    seed: int
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Type of the factors of convolutions and matrix products, in forward and backward passes. ``float32`` is that of
    IEEE, on a GPU too. ``tf32`` (10 bits of mantissa, on NVIDIA GPUs) and ``bfloat16`` (7 bits) are faster; weights and
    losses stay in float32, and with ``bfloat16`` so do the parts of a flow that have to be invertible."""
    warm_up: int = 0
    """Linear warm-up steps. Adam's first steps have the same length for small and large gradients, and at the full
    learning rate they make a flow diverge."""
    weights_every: int | None = None
    """Steps between the numbered weights files, which are all kept (BasicSR: ``save_checkpoint_freq``); those of the
    last step are kept too. 0 keeps none; without it, about ten are kept."""

    def __post_init__(self) -> None:
        require_range(self, ["steps", "batch", "grad_accumulation", "patch", "validate_every", "checkpoint_every"], 1)
        require_range(self, ["seed"], 0, LARGEST_SEED)
        require_range(self, ["warm_up", *(["weights_every"] if self.weights_every is not None else [])], 0)
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; it has to be finite and above 0")
        if not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm is {self.max_grad_norm}; it has to be above 0")
        if not all(0 <= decay < 1 for decay in (*self.betas, self.ema_decay)):
            raise ValueError(
                f"betas are {list(self.betas)} and ema_decay is {self.ema_decay}; they have to be in [0, 1)"
            )
        if not all(0 <= before < after < 1 for before, after in pairwise((0.0, *self.milestones))):
            raise ValueError(f"milestones are {list(self.milestones)}; they have to increase between 0 and 1")

    @property
    def validated_steps(self) -> set[int]:
        """Numbers of steps after which the network is validated."""
        first = min(self.validate_every, math.ceil(self.steps / 10))
        return {first, *range(self.validate_every, self.steps, self.validate_every), self.steps}

    @property
    def numbered_steps(self) -> list[int]:
        """Numbers of steps after which the weights are kept in a file of their own."""
        every = math.ceil(self.steps / 10) if self.weights_every is None else self.weights_every
        return [*range(every, self.steps, every), self.steps] if every else []

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm_up = min(1.0, (step + 1) / max(self.warm_up, 1))
        starts = [0, *(round(milestone * self.steps) for milestone in self.milestones)]
        passed = sum(step >= start for start in starts) - 1
        if self.schedule == "step":
            return float(self.learning_rate * 0.5**passed) * warm_up
        if self.schedule == "constant-cosine" and self.milestones and not passed:
            return self.learning_rate * warm_up
        end = [*starts, self.steps][passed + 1]
        fraction = (step - starts[passed]) / (end - starts[passed])
        return (LOWEST_RATE + (self.learning_rate - LOWEST_RATE) * (1 + math.cos(math.pi * fraction)) / 2) * warm_up

    def check(self, processes: int, scale: int) -> None:
        """Raise TrainingError if the processes cannot share a batch, or LR patches would not be whole pixels."""
        if self.patch % scale:
            raise TrainingError(
                f"training.patch is {self.patch}; it has to be a multiple of the scale {scale}: correct the preset"
            )
        parts = processes * self.grad_accumulation
        if self.batch % parts:
            suitable = [
                str(number)
                for number in range(1, self.batch + 1)
                if self.batch % (number * self.grad_accumulation) == 0
            ]
            use = f"use {', '.join(suitable)} processes, " if suitable else ""
            raise TrainingError(
                f"training.batch {self.batch} cannot be split equally among "
                f"{number_of(processes, 'process', 'processes')} in {number_of(self.grad_accumulation, 'part')} each; "
                f"{use}make it a multiple of {parts}, or change training.grad_accumulation"
            )

    def check_precision(self, device: str) -> None:
        """Raise TrainingError if a type of devices (``cpu``, ``cuda``,
        ``mps``) has no instructions for the precision.
        """
        if self.precision == "tf32" and device != TF32_DEVICE:
            raise TrainingError(f"training.precision is tf32, which only NVIDIA GPUs have, not {device}; use float32")
        if self.precision == "bfloat16" and not has_bfloat16(device):
            raise TrainingError(
                f"training.precision is bfloat16: this machine has no bfloat16 instructions ({device}); use float32"
            )


class TrainingPreset(Protocol):
    """A preset of any trainer."""

    @property
    def training(self) -> TrainingConfig:
        """Settings of the training."""

    @property
    def storage(self) -> Literal["float16", "float32"]:
        """Data type of the weights file."""
