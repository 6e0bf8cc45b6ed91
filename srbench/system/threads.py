"""How idle threads wait. Imported before torch and numpy, whose libraries read it when they are loaded.

Threads that spin for long while they wait take the processor from those that work, and those that go to sleep at once
are late for the next small operation: so they spin for a tenth of a millisecond, where OpenMP is GNU's and where
numpy's matrices are OpenBLAS', which spins for 20 ms by itself. What the user has set stays.
"""

import os
import sys

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
if "numpy" not in sys.modules:
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")  # 2 to the power of that, in cycles
