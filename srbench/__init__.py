"""srbench: super-resolution tables that can be checked.

    import srbench

    results = srbench.evaluate(["bicubic", "srflow", my_model], "photos", scale=4, temperature=0.8, samples=5)
    results.table
    srbench.metrics.lpips(sr, hr)

Names are looked up when they are asked for: importing srbench loads neither torch nor anything else that is large.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srbench import metrics as metrics
    from srbench.evaluation import Results as Results
    from srbench.evaluation import evaluate as evaluate
    from srbench.evaluation import load_model as load_model
    from srbench.types import SRBenchError as SRBenchError

    __version__: str

__all__ = ["Results", "SRBenchError", "__version__", "evaluate", "load_model", "metrics"]

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    # Threads of OpenMP that spin for long while they wait take the processor from those that work, and those that go to
    # sleep at once are late for the next small operation: so a tenth of a millisecond, where GNU's OpenMP is used. This
    # is read when torch is loaded, so srbench is best imported first. What the user has set stays.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

_HOMES = {
    "Results": "srbench.evaluation",
    "SRBenchError": "srbench.types",
    "evaluate": "srbench.evaluation",
    "load_model": "srbench.evaluation",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "metrics":
        return import_module("srbench.metrics")
    if name == "__version__":
        from importlib.metadata import version

        return version("sr-bench")
    raise AttributeError(f"module 'srbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
