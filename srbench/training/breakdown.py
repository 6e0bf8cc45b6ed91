"""Steps with values that are not finite: skipped, counted, and after a few in a row the end of the training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from srbench.machine.numerics import first_fault
from srbench.training import TrainingError
from srbench.training.folder import Counts
from srbench.training.learner import Batch, Learner

PATIENCE = 10
"""Broken steps in a row that end a training."""
EXPLODED = 100.0
"""Factor over the first loss, or over 1, from which a loss counts as broken: it does not recover."""


@dataclass
class Breakdowns(Counts):
    """Counts of broken steps: those with losses or gradients that are not finite, or with exploded losses."""

    skipped: int = 0
    """Steps that changed nothing because their gradient was not finite."""
    in_a_row: int = 0
    first: dict[str, float] = field(default_factory=dict)

    def see(self, losses: Mapping[str, float], *, skipped: bool) -> None:
        """Count a step."""
        self.skipped += skipped
        self.first = self.first or dict(losses)
        limits = {name: EXPLODED * max(1.0, abs(self.first.get(name, 1.0))) for name in losses}
        broken = skipped or any(not math.isfinite(value) or abs(value) > limits[name] for name, value in losses.items())
        self.in_a_row = self.in_a_row + 1 if broken else 0


def breakdown(learner: Learner, batch: Batch, kept: int) -> TrainingError:
    """The error of a training that broke down at the step of ``batch``, after computing its loss once more.

    ``kept`` is the number of steps in the last checkpoint, 0 without one.
    """
    where = _place(learner, batch)
    checkpoint = f"the checkpoint of step {kept} is kept" if kept else "no checkpoint was due before"
    return TrainingError(
        f"{PATIENCE} steps in a row broke down, the last one step {batch.step}: {where}; {checkpoint}; "
        "start again with a lower learning rate (--set training.learning_rate=...)"
    )


def _place(learner: Learner, batch: Batch) -> str:
    """The first layer with values that are not finite in weights, outputs or gradients; else the largest gradient."""
    for name, parameter in learner.network.named_parameters():
        if not parameter.isfinite().all():
            return f"the weights {name} are not finite"
    if place := first_fault(learner.network, lambda: learner.loss(batch)):
        return f"numbers that are not finite, first in {place}"
    loss, _ = learner.loss(batch)
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in learner.network.named_parameters() if p.grad is not None}
    # The backward pass begins with the last layers.
    broken = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
    if broken:
        return f"the gradient is not finite, first in {broken[-1]}"
    name, norm = max(((name, float(torch.linalg.vector_norm(g))) for name, g in gradients.items()), key=lambda x: x[1])
    return f"the {learner.name} loss is {float(loss.detach()):.4g}, the largest gradient ({norm:.3g}) that of {name}"
