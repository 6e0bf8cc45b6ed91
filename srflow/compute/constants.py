"""Cache of values that depend only on a module's parameters, for inference with trained networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

Value = TypeVar("Value")


class CachedConstants(nn.Module):
    """A module that caches values computed from its parameters, such as inverses and folded weights.

    The cache is discarded when a parameter is moved, replaced or changed in place, by ``train`` and ``eval``, and by
    every pass with gradients, because torch does not count the changes that fused optimisers make in place. Changes
    through ``parameter.data`` and the replacement of a submodule go unnoticed: call ``eval`` after them.
    Parameters created in inference mode have no version counter, so their constants are not cached. ``_version`` is
    private to torch, which has no public counter.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[str, tuple[list[tuple[int, int]], Any]] = {}
        self._tables: list[tuple[dict[str, nn.Parameter | None], str]] = []
        """Where the parameters are: the tables of all modules, and names. To walk the modules would be much slower."""

    def constant(self, name: str, compute: Callable[[], Value]) -> Value:
        """Return ``compute()``, a function of the parameters; cached in eval mode without gradients and compilation."""
        if torch.compiler.is_compiling():
            return compute()
        if torch.is_grad_enabled() or self.training:
            self._cache.clear()
            return compute()
        if not self._tables:
            self._tables = [(module._parameters, name) for module in self.modules() for name in module._parameters]
        parameters = [parameter for table, name in self._tables if (parameter := table.get(name)) is not None]
        try:
            state = [(parameter.data_ptr(), parameter._version) for parameter in parameters]
        except RuntimeError:  # parameters of inference mode
            return compute()
        cached_state, value = self._cache.get(name, (None, None))
        if cached_state != state:
            value = compute()
            self._cache[name] = state, value
        return value  # type: ignore[return-value]

    def __getstate__(self) -> dict[str, Any]:
        """State for copying and pickling, without the cache."""
        return {**self.__dict__, "_cache": {}, "_tables": []}

    def train(self, mode: bool = True) -> Self:
        """Set the mode and discard the cache."""
        self._forget()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast, and discard the cache: new tensors may reuse the old addresses."""
        self._forget()
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def _forget(self) -> None:
        self._cache.clear()
        self._tables.clear()
