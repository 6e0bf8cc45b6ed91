"""Threads of the libraries behind torch and numpy: how they wait, and how many serve numpy's products (BLAS).

Imported before torch and numpy, whose libraries read these settings when they are loaded. Threads that spin for long
while they wait take cores from those that work; threads that sleep at once are late for the next small operation. So
they spin for a tenth of a millisecond in GNU's OpenMP, and in numpy's OpenBLAS, whose default is 20 ms. Settings of the
user stay.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
if "numpy" not in sys.modules:
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")  # 2 to the power of that, in cycles

_lock, _inside, _limit = Lock(), 0, None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy's products use one thread, as in the workers of a run, until the last thread inside has left.

    The order of a long sum depends on their number. ``torch.set_num_threads`` does not reach these libraries.
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
