"""Datasets, benchmark sets and degradations."""

from importlib.util import find_spec

from srbench.interfaces import SRBenchError

MATLAB_BICUBIC = "made from HR by MATLAB-exact bicubic"
"""Origin, in the words of reports, of LR images that srbench makes by default."""


class DataError(SRBenchError):
    """Raised for a dataset, benchmark set or degradation that cannot be used."""


def require_opencv(feature: str) -> None:
    """Raise DataError unless OpenCV, which ``feature`` needs, is installed."""
    if find_spec("cv2") is None:
        raise DataError(f"{feature} needs OpenCV; install it: pip install 'sr-bench[opencv]'")
