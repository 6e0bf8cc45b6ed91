"""Check for non-finite results, with an error that names the layer where they first appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from srbench.interfaces import SRBenchError

Result = TypeVar("Result")
SingularMatrix = torch.linalg.LinAlgError  # type: ignore[attr-defined]
METHODS = ("forward", "inverse", "condition")
"""Names of the methods of layers whose results are checked."""


class NumericsError(SRBenchError):
    """Weights or an image that lead to non-finite values."""


def finite(
    network: nn.Module, compute: Callable[[], Result], again: Callable[[], object], **inputs: Tensor | list[Tensor]
) -> Result:
    """Return ``compute()``, a tensor or a list of tensors, if all values are finite.

    Otherwise raises NumericsError naming the input (by its keyword), the parameter or the layer of ``network`` at
    fault. The layer is located by ``again``, the same computation without cached values.
    """
    try:
        result = compute()
        if _is_finite(result):
            return result
    except SingularMatrix as error:
        layer = first_fault(network, again)
        raise NumericsError(f"{layer} holds a singular matrix, which has no inverse; use other weights") from error
    for name, value in inputs.items():
        if not _is_finite(value):
            raise NumericsError(f"{name} has values that are not finite; correct it")
    for name, parameter in network.named_parameters():
        if not _is_finite(parameter):
            raise NumericsError(f"the weights have values that are not finite, first in {name}; use other weights")
    raise NumericsError(
        f"values that are not finite, first in {first_fault(network, again)}; lower the temperature, give an image "
        "like the training images, or use other weights"
    )


def first_fault(network: nn.Module, compute: Callable[[], object]) -> str:
    """The layer that first turns finite values into non-finite values during ``compute()``, or inverts a singular
    matrix.

    "the network" if no layer does, but the result is not finite; empty if it is finite.
    """
    network.train(network.training)  # clears cached constants
    faults: list[str] = []

    def watched(name: str, method: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            finite_before = _is_finite([*args, *kwargs.values()])
            try:
                result = method(*args, **kwargs)
            except SingularMatrix:
                faults.append(name)
                raise
            if finite_before and not _is_finite(result):
                faults.append(name)
            return result

        return call

    layers = [(name, layer) for name, layer in network.named_modules() if name]
    for name, layer in layers:
        for method in METHODS:
            if hasattr(layer, method):
                setattr(layer, method, watched(name, getattr(layer, method)))
    try:
        with torch.no_grad():
            if not _is_finite(compute()):
                faults.append("the network")
    except SingularMatrix:
        pass
    finally:
        for _, layer in layers:
            for method in METHODS:
                layer.__dict__.pop(method, None)
    return faults[0] if faults else ""


def _is_finite(value: object) -> bool:
    # Minimum and maximum suffice, without a copy: both are NaN if any value is NaN.
    return all(bool(torch.stack(tensor.aminmax()).isfinite().all()) for tensor in _tensors(value) if tensor.numel())


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield the floating-point tensors in a value that have numbers: on the meta device, they have none."""
    if isinstance(value, Tensor) and value.is_floating_point() and not value.is_meta:
        yield value.detach()
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
