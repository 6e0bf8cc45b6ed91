"""How threads of OpenMP wait. Imported before torch, which reads it when it is loaded.

Threads that spin for long while they wait take the processor from those that work, and those that go to sleep at once
are late for the next small operation: so they spin for a tenth of a millisecond, where OpenMP is GNU's. What the user
has set stays.
"""

import os
import sys

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
