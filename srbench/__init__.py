"""srbench: super-resolution tables that can be checked.

    import srbench

    results = srbench.evaluate(["bicubic", "srflow", my_model], "photos", scale=4, temperature=0.8, samples=5)
    results.table
    srbench.metrics.lpips(sr, hr)

Names are looked up when they are asked for: importing srbench loads neither torch nor anything else that is large.
"""

from importlib import import_module
from typing import TYPE_CHECKING

import srbench.system.threads  # noqa: F401 - before torch is loaded by anything that is looked up here

if TYPE_CHECKING:
    from srbench import metrics as metrics
    from srbench.api import Results as Results
    from srbench.api import evaluate as evaluate
    from srbench.api import load_model as load_model
    from srbench.interfaces import SRBenchError as SRBenchError

    __version__: str

__all__ = ["Results", "SRBenchError", "__version__", "evaluate", "load_model", "metrics"]

_HOMES = {
    "Results": "srbench.api",
    "SRBenchError": "srbench.interfaces",
    "evaluate": "srbench.api",
    "load_model": "srbench.api",
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
