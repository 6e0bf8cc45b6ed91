"""Cache of values that depend only on a module's parameters, for inference with trained networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

Value = TypeVar("Value")


class CachedConstants(nn.Module):
    """A module that caches values computed from its parameters, such as inverses and folded weights.

    The cache is discarded when a parameter is moved or changed in place, and by ``train`` and ``eval``. Changes through
    ``parameter.data`` go unnoticed: call ``eval`` after them. Parameters created in inference mode have no version
    counter, so their constants are not cached. ``_version`` is private to torch, which has no public counter.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[str, tuple[list[tuple[int, int]], Any]] = {}

    def constant(self, name: str, compute: Callable[[], Value]) -> Value:
        """Return ``compute()``, a function of the parameters; cached in eval mode without gradients."""
        if torch.is_grad_enabled() or self.training:
            return compute()
        parameters = list(self.parameters())
        if any(parameter.is_inference() for parameter in parameters):
            return compute()
        state = [(parameter.data_ptr(), parameter._version) for parameter in parameters]
        cached_state, value = self._cache.get(name, (None, None))
        if cached_state != state:
            value = compute()
            self._cache[name] = state, value
        return value  # type: ignore[return-value]

    def __getstate__(self) -> dict[str, Any]:
        """State for copying and pickling, without the cache."""
        return {**self.__dict__, "_cache": {}}

    def train(self, mode: bool = True) -> Self:
        """Set the mode and discard the cache."""
        self._cache.clear()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast, and discard the cache: new tensors may reuse the old addresses."""
        self._cache.clear()
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]
