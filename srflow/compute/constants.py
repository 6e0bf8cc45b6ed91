"""Functions of a module's parameters alone, computed once while a trained network is in use.

Without them a sample of CelebA 8x took 1.09 times as long (``benchmarks/parts.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

Value = TypeVar("Value")


class CachedConstants(nn.Module):
    """A module that keeps what it computes from its parameters: inverses, folded weights.

    A parameter that is changed in place or moved, ``train`` and ``eval`` discard what is kept. torch does not count
    changes through ``parameter.data``: call ``eval`` after them. Nor does it count changes of parameters made in
    inference mode, so nothing is kept of these. ``_version``, the count, is private to torch, which has no public one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, tuple[list[tuple[int, int]], Any]] = {}

    def constant(self, name: str, compute: Callable[[], Value]) -> Value:
        """``compute()``, a function of the parameters; kept in eval mode without gradients until one changes."""
        if torch.is_grad_enabled() or self.training:
            return compute()
        parameters = list(self.parameters())
        if any(parameter.is_inference() for parameter in parameters):
            return compute()
        state = [(parameter.data_ptr(), parameter._version) for parameter in parameters]
        kept_state, value = self._kept.get(name, (None, None))
        if kept_state != state:
            value = compute()
            self._kept[name] = state, value
        return value  # type: ignore[return-value]

    def __getstate__(self) -> dict[str, Any]:
        """State for copies and files, without what is kept."""
        return {**self.__dict__, "_kept": {}}

    def train(self, mode: bool = True) -> Self:
        """Set the mode and discard what is kept."""
        self._kept.clear()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast, and discard what is kept: the new tensors may lie where the old ones did."""
        self._kept.clear()
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]
