"""srbench: super-resolution tables that can be checked."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srbench import metrics as metrics

__version__: str


def __getattr__(name: str) -> object:
    """``srbench.__version__`` and ``srbench.metrics``, looked up when they are asked for: torch is loaded late."""
    if name == "__version__":
        from importlib.metadata import version

        return version("sr-bench")
    if name == "metrics":
        from importlib import import_module

        return import_module("srbench.metrics")
    raise AttributeError(f"module 'srbench' has no attribute {name!r}")
