"""Functions of a module's parameters alone, computed once when a trained network is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

Value = TypeVar("Value")


class CachedConstants(nn.Module):
    """A module that keeps what it computes of its parameters: inverses, folded weights.

    Kept values are dropped when a parameter is changed in place or moved, and by ``train`` and ``eval``. Whoever writes
    through ``parameter.data``, which torch does not count as a change, has to call ``eval`` afterwards. Nothing is kept
    of parameters made in inference mode, whose changes torch does not count either.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, tuple[list[tuple[int, int]], Any]] = {}

    def constant(self, name: str, compute: Callable[[], Value]) -> Value:
        """``compute()``, a function of the parameters; kept in eval mode without gradients until one changes."""
        if torch.is_grad_enabled() or self.training:
            return compute()
        parameters = list(_parameters(self))
        if any(parameter.is_inference() for parameter in parameters):
            return compute()
        state = [(parameter.data_ptr(), parameter._version) for parameter in parameters]
        kept_state, value = self._kept.get(name, (None, None))
        if kept_state != state:
            value = compute()
            self._kept[name] = state, value
        return value  # type: ignore[return-value]

    def __getstate__(self) -> dict[str, Any]:
        """What copies and files get: nothing that is kept."""
        return {**self.__dict__, "_kept": {}}

    def train(self, mode: bool = True) -> Self:
        """Set the mode, and forget what is kept."""
        self._kept.clear()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast, and forget what is kept: the new tensors may lie where the old ones did."""
        self._kept.clear()
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]


def _parameters(module: nn.Module) -> Iterator[Tensor]:
    """As ``module.parameters()``, in a fifth of the time, which is asked for in every layer of every sample."""
    for parameter in module._parameters.values():
        if parameter is not None:
            yield parameter
    for child in module._modules.values():
        if child is not None:
            yield from _parameters(child)
