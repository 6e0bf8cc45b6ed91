"""Threads of the libraries behind torch and numpy: how they wait.

Imported before torch and numpy, whose libraries read these settings when they are loaded. Threads that spin for long
while they wait take cores from those that work; threads that sleep at once are late for the next small operation. So
they spin for a tenth of a millisecond in GNU's OpenMP, and in numpy's OpenBLAS, whose default is 20 ms. Settings of the
user stay.
"""

from __future__ import annotations

import os
import sys

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
if "numpy" not in sys.modules:
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")  # 2 to the power of that, in cycles
