"""srbench: super-resolution tables that can be checked."""


def __getattr__(name: str) -> str:
    """``srbench.__version__``, looked up when it is asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("sr-bench")
    raise AttributeError(f"module 'srbench' has no attribute {name!r}")
