"""srbench: super-resolution tables that can be checked.

    import srbench

    results = srbench.evaluate(["bicubic", "srflow", my_model], "photos", scale=4, temperature=0.8, samples=5)
    results.table
    srbench.metrics.lpips(sr, hr)

Names are looked up on first use: importing srbench loads neither torch nor anything else that is large.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srbench import metrics as metrics
    from srbench.api import Results as Results
    from srbench.api import evaluate as evaluate
    from srbench.api import load_model as load_model
    from srbench.explaining.search import explain as explain
    from srbench.interfaces import SRBenchError as SRBenchError

    __version__: str

__all__ = ["Results", "SRBenchError", "__version__", "evaluate", "explain", "load_model", "metrics"]


def __getattr__(name: str) -> object:
    if name in ("Results", "evaluate", "load_model"):
        return getattr(import_module("srbench.api"), name)
    if name == "SRBenchError":
        return import_module("srbench.interfaces").SRBenchError
    if name == "explain":
        return import_module("srbench.explaining.search").explain
    if name == "metrics":
        return import_module("srbench.metrics")
    if name == "__version__":
        from importlib.metadata import version

        return version("sr-bench")
    raise AttributeError(f"module 'srbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
