"""How the threads of torch's and numpy's libraries wait for work."""

from __future__ import annotations

import os


def wait_briefly() -> None:
    """Let idle threads of this process and its workers spin for a tenth of a millisecond; the user's settings stay.

    Threads that spin for long take cores from those that work; threads that sleep at once are late for the next small
    operation. GNU's OpenMP and numpy's OpenBLAS, whose default is 20 ms, read these variables when they are loaded, so
    this has to come before torch and numpy.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")  # 2 to the power of that, in cycles
