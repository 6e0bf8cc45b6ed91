"""Sigma: spread of the samples of one image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from srbench.interfaces import ImagePair, MetricFacts
from srbench.metrics.arguments import Images, image_tensor
from srbench.metrics.samples import checked


def sigma(samples: Images) -> float:
    """Spread of the samples of an image: standard deviation of pixels in grey levels (0..255), 0 for one sample.

    The divisor is n - 1, and the mean is taken over pixels and channels, as in the test code of HCFlow (Liang et al.,
    2021). Values are only comparable for equal n.

    Args:
        samples: (n, 3, H, W), or one sample (3, H, W): uint8, or floating point in [0, 1], neither clamped nor rounded.

    Returns:
        One float for all samples.

    Raises:
        MetricError: The samples are not images.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import sigma
        >>> samples = np.zeros((2, 3, 32, 32), dtype=np.uint8)
        >>> samples[1] = 10
        >>> round(sigma(samples), 4)  # 10 / sqrt(2)
        7.0711
    """
    tensor = image_tensor(samples, "samples")
    return _deviation(tensor.to(torch.float32) / 255 if tensor.dtype == torch.uint8 else tensor).item()


def _deviation(samples: Tensor) -> Tensor:
    """Map (n, 3, H, W) floating point to () float64 in grey levels."""
    if len(samples) == 1:
        return torch.zeros((), dtype=torch.float64)
    single = samples.detach().cpu().to(torch.float32)
    spread = np.empty(single.shape[1:])
    for row in range(0, single.shape[2], _ROWS):  # in float64, all samples at once would take much memory
        levels = 255 * single[:, :, row : row + _ROWS].contiguous().to(torch.float64).numpy()
        spread[:, row : row + _ROWS] = levels.std(axis=0, ddof=1)  # torch's std over samples is three times slower
    return torch.tensor(spread.mean())


_ROWS = 16
"""Number of image rows per pass."""


class Sigma:
    """Standard deviation of pixels over samples, as in the code of the follow-up paper (HCFlow).

    It has no direction, because a higher temperature always adds diversity.
    """

    facts = MetricFacts(
        name="sigma",
        title="sigma",
        group="Diversity",
        direction=0,
        unit="grey levels",
        signature="RGB|ddof1|v1",
        sees="returned",
        needs=("samples",),
        per="image",
        protocol=(
            "standard deviation (ddof 1) over the samples of an image as returned (not clamped, not rounded) "
            "times 255, mean over pixels and channels; 0 for one sample"
        ),
    )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """Measure (n, 3, H, W) samples: () float64 in grey levels. Raises MetricError for unusable output."""
        return _deviation(checked(samples, pair))
