"""Check for non-finite results, with an error that names the layer where they first appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from srbench.interfaces import SRBenchError

Result = TypeVar("Result")


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
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        layer = _innermost_layer(network, error)
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
    """The layer with the first non-finite output during ``compute()``; empty if all outputs are finite."""
    network.train(network.training)  # clears cached constants
    try:
        with torch.no_grad(), _StopAtFault():
            compute()
    except (ArithmeticError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        return _innermost_layer(network, error)
    return ""


class _StopAtFault(TorchFunctionMode):
    """Raises ArithmeticError after the first operation that turns finite values into non-finite values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        inputs_finite = _is_finite([args, *kwargs.values()])
        result = func(*args, **kwargs)
        is_uninitialised = "empty" in getattr(func, "__name__", "")  # new memory holds arbitrary values
        if inputs_finite and not is_uninitialised and not _is_finite(result):
            raise ArithmeticError
        return result


def _is_finite(value: object) -> bool:
    # Minimum and maximum suffice, without a copy: both are NaN if any value is NaN.
    return all(bool(torch.stack(tensor.aminmax()).isfinite().all()) for tensor in _tensors(value) if tensor.numel())


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor) and value.is_floating_point():
        yield value.detach()
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)


def _innermost_layer(network: nn.Module, error: BaseException) -> str:
    """The innermost module of the network whose method appears in the error's traceback."""
    names = {id(module): name for name, module in network.named_modules() if name}
    layer = "the network"
    entry = error.__traceback__
    while entry is not None:
        layer = names.get(id(entry.tb_frame.f_locals.get("self")), layer)
        entry = entry.tb_next
    return layer
