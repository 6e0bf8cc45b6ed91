"""Results that are not finite become an error that names the layer where they first appear.

A finite result costs one check. Only a broken one is computed again, with a check after every operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from srbench.interfaces import SRBenchError

LARGE = 1e6
"""Larger than any number in a working network: images are below 1, latents and features of the order of 1."""
_OUTSIDE = "the network"

Result = TypeVar("Result")


class NumericsError(SRBenchError):
    """Weights or an image that lead to numbers that are not finite."""


def finite(
    network: nn.Module, compute: Callable[[], Result], again: Callable[[], object], **inputs: Tensor | list[Tensor]
) -> Result:
    """Return ``compute()``, one tensor or a list, after checking that all its numbers are finite.

    If they are not, ``again``, the same computation without cached values, shows the layer of ``network``; an input
    that is not finite is named by its keyword. Raises NumericsError, also for a singular matrix.
    """
    try:
        result = compute()
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        layer = _layer(network, error)
        raise NumericsError(f"{layer} holds a singular matrix, which has no inverse; use other weights") from error
    if _finite(_tensors(result)):
        return result
    raise NumericsError(_cause(network, again, inputs))


def _cause(network: nn.Module, compute: Callable[[], object], inputs: dict[str, Tensor | list[Tensor]]) -> str:
    for name, given in inputs.items():
        if not _finite(_tensors(given)):
            return f"{name} has values that are not finite; correct it"
    for name, parameter in network.named_parameters():
        if not _finite([parameter]):
            return f"the weights have values that are not finite, first in {name}; use other weights"
    return (
        f"numbers that are not finite, first in {first_fault(network, compute)}; lower the temperature, give an image "
        "like the training images, or use other weights"
    )


def first_fault(network: nn.Module, compute: Callable[[], object]) -> str:
    """The layer, with the operation in brackets, that first makes numbers that are not finite in ``compute()``.

    If that happens outside all layers, as in a loss, the layer that first makes numbers above LARGE is named too.
    Empty if all numbers are finite.
    """
    place = _first_beyond(math.inf, network, compute)
    if place.startswith(_OUTSIDE):
        large = _first_beyond(LARGE, network, compute)
        if large and not large.startswith(_OUTSIDE):
            place += f", of numbers above {LARGE:.0e} from {large}"
    return place


def _first_beyond(limit: float, network: nn.Module, compute: Callable[[], object]) -> str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a function mode sees its own thread only
    network.train(network.training)  # clears cached constants
    try:
        with torch.no_grad(), _Watch(limit):
            compute()
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        return f"{_layer(network, error)} (singular matrix)"
    except _BeyondLimitError as error:
        return f"{_layer(network, error)} ({error})"
    finally:
        torch.set_num_threads(threads)
    return ""


class _BeyondLimitError(Exception):
    """The name of the operation that made numbers beyond the limit; its traceback leads to the layer."""


class _Watch(TorchFunctionMode):
    """Stops at the first operation that makes numbers beyond the limit out of finite ones."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        sound = _finite(_tensors([args, *kwargs.values()]))
        result, name = func(*args, **kwargs), getattr(func, "__name__", "")
        # new memory holds any numbers until it is written
        if sound and "empty" not in name and not _finite(_tensors(result), self.limit):
            raise _BeyondLimitError(name)
        return result


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor) and value.is_floating_point():
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)


def _finite(tensors: Iterable[Tensor], limit: float = math.inf) -> bool:
    """True if all numbers are below the limit; least and largest show it (NaN is both), without a copy."""
    ends = (torch.stack(tensor.detach().aminmax()) for tensor in tensors if tensor.numel())
    return all(bool((end.abs() < limit).all()) for end in ends)


def _layer(network: nn.Module, error: BaseException) -> str:
    """The innermost layer with a method in the error's traceback."""
    names = {id(module): name for name, module in network.named_modules() if name}
    found, step = _OUTSIDE, error.__traceback__
    while step is not None:
        found = names.get(id(step.tb_frame.f_locals.get("self")), found)
        step = step.tb_next
    return found
