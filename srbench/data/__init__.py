"""Datasets, benchmark sets and degradations."""

from importlib.util import find_spec

from srbench.interfaces import SRBenchError

MATLAB_BICUBIC = "made from HR by MATLAB-exact bicubic"
"""Origin of LR images that srbench makes, in the words of the reports."""


class DataError(SRBenchError):
    """A dataset, benchmark set or degradation that cannot be used."""


def require_opencv(what: str) -> None:
    """Raise DataError unless OpenCV, which ``what`` needs, is installed."""
    if find_spec("cv2") is None:
        raise DataError(f"{what} needs OpenCV; install it: pip install 'sr-bench[opencv]'")
