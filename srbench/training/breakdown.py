"""Detection of broken steps: an exploding loss, or a non-finite loss or gradient.
Ten in a row end a training, or the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from srbench.machine.numerics import first_fault
from srbench.machine.precision import autocast, products
from srbench.training import TrainingError
from srbench.training.config import TrainingConfig
from srbench.training.folder import SavedState
from srbench.training.learner import Batch, Learner
from srbench.words import number_of

PATIENCE = 10
"""Number of consecutive broken steps that ends a training."""
EXPLODED = 100.0
"""A loss above this multiple of the first loss (or of 1, if that is larger) counts as broken: it does not recover."""


@dataclass
class Breakdowns(SavedState):
    """Number of consecutive broken steps, and the losses of the first step of the training."""

    in_a_row: int = 0
    first: dict[str, float] = field(default_factory=dict)

    def count(self, losses: Mapping[str, float], *, skipped: bool) -> None:
        """Count a step; ``skipped`` means that a non-finite gradient prevented the update."""
        self.first = self.first or dict(losses)
        limits = {name: EXPLODED * max(1.0, abs(self.first.get(name, 1.0))) for name in losses}
        sound = all(math.isfinite(value) and abs(value) <= limits[name] for name, value in losses.items())
        self.in_a_row = 0 if sound and not skipped else self.in_a_row + 1


def breakdown(learner: Learner, batch: Batch, in_a_row: int, kept: int, config: TrainingConfig) -> TrainingError:
    """The error of a training whose last ``in_a_row`` steps, up to ``batch``, broke down; ``kept`` is the step of the
    last checkpoint, or 0.

    The loss is computed again, in the precision of the step, to find the layer.
    """
    checkpoint = f"the checkpoint of step {kept} is kept" if kept else "no checkpoint had been saved"
    device = batch.hr.device
    with products(device, tf32=config.precision == "tf32"), autocast(device, enabled=config.precision == "bfloat16"):
        cause = _cause(learner, batch)
    return TrainingError(
        f"{number_of(in_a_row, 'step')} in a row broke down, up to step {batch.step}: {cause}; "
        f"{checkpoint}; start again with a lower learning rate (--set training.learning_rate=...)"
    )


def _cause(learner: Learner, batch: Batch) -> str:
    for name, parameter in learner.network.named_parameters():
        if not parameter.isfinite().all():
            return f"the weights {name} are not finite"
    if layer := first_fault(learner.network, lambda: learner.loss(batch)):
        return f"non-finite values, first in {layer}"
    loss, _ = learner.loss(batch)
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norms = {
        name: float(torch.linalg.vector_norm(parameter.grad))
        for name, parameter in learner.network.named_parameters()
        if parameter.grad is not None
    }
    broken = [name for name, norm in norms.items() if not math.isfinite(norm)]
    if broken:
        return f"the gradient is not finite, first in {broken[-1]}"  # the backward pass begins with the last layer
    largest = max(norms, key=norms.__getitem__)
    return f"the {learner.name} loss is {float(loss.detach()):.4g}, and {largest} has the largest gradient"
