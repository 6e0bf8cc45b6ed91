"""A training step, and everything that it changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from srbench.machine.memory import out_of_memory
from srbench.machine.precision import autocast, products
from srbench.training import MemoryShortageError
from srbench.training.breakdown import Breakdowns
from srbench.training.config import TrainingConfig
from srbench.training.folder import State
from srbench.training.learner import Batch, Learner
from srbench.training.validation import BestValidation


@dataclass(frozen=True)
class TrainingState:
    """Everything that changes during a training and is saved in a checkpoint."""

    learners: Sequence[Learner]
    average: AveragedModel | None
    """Moving average of the first learner's network."""
    breakdowns: Breakdowns = field(default_factory=Breakdowns)
    best: BestValidation = field(default_factory=BestValidation)

    @property
    def network(self) -> torch.nn.Module:
        """The network that is validated and becomes the weights file."""
        return self.learners[0].network if self.average is None else self.average.module

    def parts(self) -> State:
        """The parts by their names in a checkpoint."""
        first, *others = self.learners
        parts: State = {"breakdowns": self.breakdowns, "best": self.best, "network": first.network}
        parts |= {f"{learner.name} optimizer": learner.optimizer for learner in self.learners}
        parts |= {learner.name: learner.network for learner in others}
        return parts if self.average is None else parts | {"average": self.average}


def take_step(
    batch: Batch, state: TrainingState, config: TrainingConfig, accelerator: Accelerator
) -> tuple[dict[str, float], Learner]:
    """Update all networks and the average by this process's share of a step.

    Returns values for the log, and the first learner whose update was skipped; the first of all if none was. Raises
    MemoryShortageError if the memory does not suffice.
    """
    try:
        with products(batch.hr.device, tf32=config.precision == "tf32"):
            return _take_step(batch, state, config, accelerator)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise MemoryShortageError(
            f"a step needs more memory than {batch.hr.device} has; make training.batch smaller or "
            "training.grad_accumulation larger, or set reversible=true for srflow"
        ) from None


def _take_step(
    batch: Batch, state: TrainingState, config: TrainingConfig, accelerator: Accelerator
) -> tuple[dict[str, float], Learner]:
    losses: dict[str, float] = {}
    norms: dict[str, float] = {}
    rate = config.learning_rate_at(batch.step)
    for learner in state.learners:
        for group in learner.optimizer.param_groups:
            group["lr"] = rate * learner.rate
        means = _compute_gradients(learner, batch, config, accelerator)
        gradient_norm = accelerator.clip_grad_norm_(learner.parameters(), config.max_grad_norm)
        # The only wait for the GPU: the norm decides on the update, and the values for the log come with it.
        *values, norm = torch.stack([*means.values(), gradient_norm]).cpu().tolist()
        losses |= dict(zip(means, values, strict=True))
        if math.isfinite(norm):
            learner.optimizer.step()
        learner.optimizer.zero_grad(set_to_none=True)
        norms[learner.name] = norm
    if state.average is not None:
        state.average.update_parameters(state.learners[0].network)
    skipped = [learner for learner in state.learners if not math.isfinite(norms[learner.name])]
    state.breakdowns.count(losses, skipped=bool(skipped))
    names = {f"gradient of {name}" if len(norms) > 1 else "gradient": norm for name, norm in norms.items()}
    return {**losses, **names, "learning_rate": rate}, (skipped or state.learners)[0]


def _compute_gradients(
    learner: Learner, batch: Batch, config: TrainingConfig, accelerator: Accelerator
) -> dict[str, Tensor]:
    """Compute the gradient of the mean loss over the whole step; returns the means of the named values, scalars."""
    sums: dict[str, Tensor] = {}
    parts = batch.parts(config.grad_accumulation)
    for part in parts:
        with autocast(batch.hr.device, enabled=config.precision == "bfloat16"):
            loss, named = learner.loss(part)
        accelerator.backward(loss / len(parts))
        for name, value in named.items():
            sums[name] = sums.get(name, 0) + value.detach() / len(parts)
    if accelerator.num_processes > 1:
        # A reduction is bit-identical on all processes, so their networks stay equal.
        means = accelerator.reduce(torch.stack([*sums.values()]), "mean")
        sums = dict(zip(sums, means, strict=True))
        gradients = [p.grad for p in learner.parameters() if p.grad is not None]
        flat = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
        mean_gradients = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, mean_gradients, strict=True):
            gradient.copy_(mean.view(gradient.shape))
    return sums
