"""Encode without remembering: the backward pass rebuilds what the forward pass did not store.

Every layer is invertible, so the input of a step is the inverse of its output (Gomez et al., "The Reversible Residual
Network", NeurIPS 2017). Instead of all maps of all steps, a level stores its output and the LR features; activation
memory then does not grow with the number of steps. The price is one more pass in each direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from srflow.conditions import Features
from srflow.flow import ConditionalFlow, FlowStep, Level, StepCondition
from srflow.layers import Affine


def encode_reversibly(flow: ConditionalFlow, x: Tensor, features: list[Features]) -> tuple[list[Tensor], Tensor]:
    """``flow.encode`` of x (b, 3, H, W) with conditions from one Features a level: the same values and gradients."""
    latents, log_det = [], x.new_zeros(x.shape[0])
    for level, own in zip(flow.each(), features, strict=True):
        x, latent, share = _encode_level(level, x, own)
        log_det = log_det + share
        latents += [] if latent is None else [latent]
    return [*latents, x], log_det


def _encode_level(level: Level, x: Tensor, features: Features) -> tuple[Tensor, Tensor | None, Tensor]:
    x, before = level.enter(x)
    steps = level.flow_steps()
    parameters = [parameter for step in steps for parameter in step.parameters()]
    x, log_det = _Steps.apply(steps, features.own, features.stacked, x, *parameters)  # type: ignore[no-untyped-call]
    x, latent, after = level.leave(x)
    return x, latent, before + log_det + after


class _Steps(torch.autograd.Function):
    """The flow steps of a level: steps, own and stacked features, x, all parameters -> z, log_det."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own
        steps: Sequence[FlowStep],
        own: Tensor,
        stacked: Tensor,
        x: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(x.shape[0])
        for step in steps:
            x, share = step(x, step.condition(Features(own, stacked)))
            log_det = log_det + share
        ctx.steps = steps
        ctx.save_for_backward(own, stacked, x)
        return x, log_det

    @staticmethod
    def backward(ctx: Any, grad_z: Tensor, grad_log_det: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        own, stacked, z = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:3]
        features = Features(*(x.detach().requires_grad_(need) for x, need in zip((own, stacked), needed, strict=True)))
        grad_features: list[Tensor | None] = [None, None]
        grad_parameters: list[Tensor | None] = []
        for step in reversed(ctx.steps):
            sources = [*features, *step.parameters()]
            z, grad_z, found = _undo(step, features, z, grad_z, grad_log_det, sources)
            grad_features = [_add(total, share) for total, share in zip(grad_features, found[:2], strict=True)]
            grad_parameters = found[2:] + grad_parameters
        return None, *grad_features, grad_z, *grad_parameters


def _undo(
    step: FlowStep, features: Features, z: Tensor, grad_z: Tensor, grad_log_det: Tensor, sources: Sequence[Tensor]
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """A step's input from its output z, the gradient there, and those of the sources that take one.

    Part by part from the output to the input, so that every network is evaluated once: what the inverse needs of it and
    what the gradient needs of it are the same.
    """
    with torch.enable_grad():
        condition = step.condition(features)
    known = StepCondition(Affine(*(_leaf(part) for part in condition.injector)), _leaf(condition.coupling))
    kept = step.coupling.kept

    first, grad_first, grad_second = _leaf(z[:, :kept]), grad_z[:, :kept], grad_z[:, kept:]
    with torch.enable_grad():
        affine = step.coupling.affine(first, known.coupling)
    second = _leaf(affine.inverse(z[:, kept:]))
    with torch.enable_grad():
        outputs = affine.forward(second), affine.log_det()
    (more, grad_second, grad_coupling), found = _gradients(
        outputs, (grad_second, grad_log_det), [first, second, known.coupling], sources
    )
    grad_z = torch.cat([grad_first + more, grad_second], 1)

    x = _leaf(step.unmix(step.injector.inverse(torch.cat([first, second], 1).detach(), known.injector)))
    with torch.enable_grad():
        mixed, mixing = step.normalize_and_mix(x)
        injected, injecting = step.injector(mixed, known.injector)
        log_det = mixing + injecting
    (grad_x, *grad_injector), more_found = _gradients(
        (injected, log_det), (grad_z, grad_log_det), [x, *known.injector], sources
    )

    _, conditioned = _gradients((*condition.injector, condition.coupling), (*grad_injector, grad_coupling), [], sources)
    totals = [_add(_add(a, b), c) for a, b, c in zip(found, more_found, conditioned, strict=True)]
    return x.detach(), grad_x, totals


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()


def _add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _gradients(
    outputs: Sequence[Tensor], grads: Sequence[Tensor], leaves: Sequence[Tensor], sources: Sequence[Tensor]
) -> tuple[Sequence[Tensor], list[Tensor | None]]:
    """The leaves' gradients, and the sources': None for those that take none or have no part in the outputs."""
    wanted = [source for source in sources if source.requires_grad]
    found = torch.autograd.grad(outputs, [*leaves, *wanted], grads, allow_unused=True)
    rest = iter(found[len(leaves) :])
    return found[: len(leaves)], [next(rest) if source.requires_grad else None for source in sources]
