"""Steps that give other than finite numbers: passed over, counted, and after a few in a row the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from srbench.system.numerics import first_fault
from srbench.training import TrainingError
from srbench.training.learner import Batch, Learner

PATIENCE = 10
"""Broken steps in a row after which a training stops."""
EXPLODED = 100.0
"""A loss so many times as large as the first one (or as 1) is taken for broken too: it does not come back."""


class Breakdowns:
    """Counts them. A broken step is one whose losses or gradients are not finite, or whose losses exploded."""

    def __init__(self) -> None:
        self.skipped = 0
        """Steps that changed nothing, their gradient not being finite."""
        self.in_a_row = 0
        self._first: dict[str, float] = {}

    def see(self, losses: Mapping[str, float], *, skipped: bool) -> None:
        """After a step."""
        self.skipped += skipped
        self._first = self._first or dict(losses)
        broken = skipped or any(self._exploded(name, value) for name, value in losses.items())
        self.in_a_row = self.in_a_row + 1 if broken else 0

    def _exploded(self, name: str, value: float) -> bool:
        return not math.isfinite(value) or abs(value) > EXPLODED * max(1.0, abs(self._first.get(name, 1.0)))

    def state_dict(self) -> dict[str, Any]:
        """The counts and the first losses."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row, "first": self._first}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Restore them."""
        self.skipped, self.in_a_row, self._first = state["skipped"], state["in_a_row"], state["first"]


def breakdown(learner: Learner, batch: Batch, kept: int) -> TrainingError:
    """What to say of a training that broke down at the step of ``batch``, by looking at its loss once more.

    ``kept`` is the number of steps in the last checkpoint, 0 where there is none.
    """
    where = _place(learner, batch)
    checkpoint = f"the checkpoint of step {kept} is kept" if kept else "no checkpoint was due before"
    return TrainingError(
        f"{PATIENCE} steps in a row broke down, the last one step {batch.step}: {where}; {checkpoint}; "
        "begin again with a lower learning rate (--set training.learning_rate=...)"
    )


def _place(learner: Learner, batch: Batch) -> str:
    """The first layer with numbers that are not finite: of weights, forwards, or backwards; else the largest."""
    for name, parameter in learner.network.named_parameters():
        if not parameter.isfinite().all():
            return f"the weights {name} are not finite"
    if place := first_fault(learner.network, lambda: learner.loss(batch)):
        return f"numbers that are not finite, first in {place}"
    loss, _ = learner.loss(batch)
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in learner.network.named_parameters() if p.grad is not None}
    # The way back comes from the loss: the layers that are last on the way there are first.
    broken = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
    if broken:
        return f"the gradient is not finite, first in {broken[-1]}"
    name, norm = max(((name, float(torch.linalg.vector_norm(g))) for name, g in gradients.items()), key=lambda x: x[1])
    return f"the {learner.name} loss is {float(loss.detach()):.4g}, the largest gradient ({norm:.3g}) that of {name}"
