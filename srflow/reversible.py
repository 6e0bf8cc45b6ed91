"""Encoding without stored activations: the backward pass rebuilds them.

Every layer is invertible, so its input can be recomputed from its output (Gomez et al., "The Reversible Residual
Network", NeurIPS 2017). A level stores only its output and the LR features, so activation memory does not grow with the
number of steps, at the cost of one more pass in each direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from srflow.features import Features
from srflow.flow import ConditionalFlow, Level
from srflow.layers import FlowLayer


def encode_reversibly(flow: ConditionalFlow, x: Tensor, features: Sequence[Features]) -> tuple[list[Tensor], Tensor]:
    """Like ``flow.encode`` of x (b, 3, H, W), with the same values and gradients; takes the features of every level."""
    return flow.encode(x, features, _forward)


def _forward(level: Level, x: Tensor, features: Features) -> tuple[Tensor, Tensor]:
    return _Layers.apply(level.layers(), *features, x, *level.parameters())  # type: ignore[no-any-return, no-untyped-call]


class _Layers(torch.autograd.Function):
    """(layers in encoding order, own and stacked features, x, all their parameters) -> (z, log_det)."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch gives it no type
        layers: Sequence[FlowLayer],
        own: Tensor,
        stacked: Tensor,
        x: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(x.shape[0])
        for layer in layers:
            x, layer_log_det = layer(x, layer.condition(Features(own, stacked)))
            log_det = log_det + layer_log_det
        ctx.layers, ctx.is_half = layers, torch.is_autocast_enabled(x.device.type)
        ctx.save_for_backward(own, stacked, x)
        return x, log_det

    @staticmethod
    def backward(ctx: Any, grad_z: Tensor, grad_log_det: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        own, stacked, z = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:3]
        features = Features(*(x.detach().requires_grad_(need) for x, need in zip((own, stacked), needed, strict=True)))
        grad_features: list[Tensor | None] = [None, None]
        grad_parameters: list[Tensor | None] = []
        for layer in reversed(ctx.layers):
            sources = [*features, *layer.parameters()]
            with torch.autocast(z.device.type, torch.bfloat16, enabled=ctx.is_half):
                z, grad_z, grad_sources = _undo(layer, features, z, (grad_z, grad_log_det), sources)
            grad_features = [_add(total, grad) for total, grad in zip(grad_features, grad_sources[:2], strict=True)]
            grad_parameters = grad_sources[2:] + grad_parameters
        return None, *grad_features, grad_z, *grad_parameters


def _undo(
    layer: FlowLayer, features: Features, z: Tensor, grads: tuple[Tensor, Tensor], sources: Sequence[Tensor]
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """From a layer's output z: its input x, the gradient of x, and the gradients of the sources (None if unused)."""
    with torch.enable_grad():
        x, z_again, log_det = layer.retrace(z, layer.condition(features))
    trained = [source for source in sources if source.requires_grad]
    # autograd.grad rejects a constant log-determinant, such as that of a squeeze.
    number = 2 if log_det.requires_grad else 1
    outputs = [z_again, log_det][:number]
    grad_x, *grad_trained = torch.autograd.grad(outputs, [x, *trained], grads[:number], allow_unused=True)
    remaining = iter(grad_trained)
    return x.detach(), grad_x, [next(remaining) if source.requires_grad else None for source in sources]


def _add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b
