"""Results that are not finite become an error that names the layer they come from. Where all is well it costs nothing.

Only a broken result is looked into: it is computed once more, and every operation's result is checked on the way.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from srbench.interfaces import SRBenchError

LARGE = 1e6
"""Numbers that no working network makes: images are below 1, latents and features are of the order of 1."""
_OUTSIDE = "the network"

Result = TypeVar("Result")


class NumericsError(SRBenchError):
    """Weights or an image from which no finite numbers follow."""


def finite(
    network: nn.Module, compute: Callable[[], Result], again: Callable[[], object], **inputs: Tensor | list[Tensor]
) -> Result:
    """``compute()``, tensors or lists of them made with ``network`` from ``inputs``, which are only named.

    ``again`` computes the same with nothing kept from before; it is called where the results are not finite.
    Raises NumericsError where they are not, or where a matrix is singular.
    """
    try:
        result = compute()
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        layer = _layer(network, _frames(error.__traceback__))
        raise NumericsError(f"{layer} holds a singular matrix, which has no inverse; use other weights") from error
    if _finite(_tensors(result)):
        return result
    raise NumericsError(_cause(network, again, inputs))


def _cause(network: nn.Module, compute: Callable[[], object], inputs: dict[str, Tensor | list[Tensor]]) -> str:
    for name, given in inputs.items():
        if not _finite(_tensors(given)):
            return f"{name} has values that are not finite; correct what is given"
    for name, parameter in network.named_parameters():
        if not _finite([parameter]):
            return f"the weights have values that are not finite, first in {name}; use other weights"
    return (
        f"numbers that are not finite, first in {first_fault(network, compute)}; lower the temperature, give an image "
        "like those of the training, or use other weights"
    )


def first_fault(network: nn.Module, compute: Callable[[], object]) -> str:
    """The layer, and in brackets the operation, that first makes other than finite numbers in ``compute()``.

    Where that happens outside every layer, as in a loss, the layer is named too that first made numbers above LARGE.
    Empty where all are finite.
    """
    first, threads = _FirstFault(network), torch.get_num_threads()
    torch.set_num_threads(1)  # what runs in threads of its own would not be seen
    network.train(network.training)  # nor what was kept from before
    try:
        with torch.no_grad(), first:
            compute()
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        return first.found() or f"{_layer(network, _frames(error.__traceback__))} (singular matrix)"
    finally:
        torch.set_num_threads(threads)
    return first.found()


class _FirstFault(TorchFunctionMode):
    """Notes the layers of the first operations that make numbers above LARGE, and others than finite out of finite."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.place = ""
        self.large = ""

    def found(self) -> str:
        """The place, and where no layer is part of it the one whose numbers led there."""
        outside = self.place.startswith(_OUTSIDE)
        return f"{self.place}, of numbers above {LARGE:.0e} from {self.large}" if outside and self.large else self.place

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        before = bool(self.place) or _finite(_tensors([args, *kwargs.values()]))
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if before and not self.place and "empty" not in name:  # new memory holds any numbers until it is written
            self._look(_tensors(result), name)
        return result

    def _look(self, results: Iterable[Tensor], name: str) -> None:
        results = list(results)
        if _finite(results, math.inf if self.large else LARGE):
            return
        layer = _layer(self.network, _callers(sys._getframe(2)))
        if not _finite(results):
            self.place = f"{layer} ({name})"
        elif layer != _OUTSIDE:
            self.large = f"{layer} ({name})"


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor) and value.is_floating_point():
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)


def _finite(tensors: Iterable[Tensor], limit: float = math.inf) -> bool:
    """Whether all numbers lie within the limit.

    Least and largest number tell: NaN is both of a tensor that holds one. Nothing as large as the tensor is made.
    """
    ends = (torch.stack(tensor.detach().aminmax()) for tensor in tensors if tensor.numel())
    return all(bool((end.abs() < limit).all()) for end in ends)


def _layer(network: nn.Module, frames: Iterable[FrameType]) -> str:
    """The name of the innermost layer whose method is running in one of the frames, innermost first."""
    names = {id(module): name for name, module in network.named_modules() if name}
    return next((names[key] for frame in frames if (key := id(frame.f_locals.get("self"))) in names), _OUTSIDE)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _frames(traceback: TracebackType | None) -> list[FrameType]:
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames[::-1]
