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
from srflow.flow import ConditionalFlow, FlowStep, Level


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
        features = Features(own.detach().requires_grad_(), stacked.detach().requires_grad_())
        grad_features = [torch.zeros_like(own), torch.zeros_like(stacked)]
        grad_parameters: list[Tensor | None] = []
        for step in reversed(ctx.steps):
            with torch.enable_grad():
                condition = step.condition(features)
            x = step.inverse(z, condition).detach().requires_grad_()
            with torch.enable_grad():
                outputs = step(x, condition)
            inputs = [x, *features, *(parameter for parameter in step.parameters() if parameter.requires_grad)]
            grad_z, *found = torch.autograd.grad(outputs, inputs, (grad_z, grad_log_det))
            for total, share in zip(grad_features, found[:2], strict=True):
                total += share
            shares = iter(found[2:])
            grad_parameters = [
                next(shares) if parameter.requires_grad else None for parameter in step.parameters()
            ] + grad_parameters
            z = x.detach()
        return None, *grad_features, grad_z, *grad_parameters
