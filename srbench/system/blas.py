"""Threads of the libraries behind numpy's products (BLAS). The order of a long sum depends on their number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

_lock, _inside, _limit = Lock(), 0, None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy's products use one thread, as in the workers of a run, until the last thread inside has left.

    ``torch.set_num_threads`` does not reach these libraries.
    """
    global _inside, _limit
    with _lock:
        if not _inside:
            _limit = _libraries().limit(limits=1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limit.restore_original_limits()


@cache
def _libraries() -> Any:  # noqa: ANN401 - without types
    """Libraries that are loaded at the first call, which takes 5 ms."""
    import numpy as np  # noqa: F401 - loads its own
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
