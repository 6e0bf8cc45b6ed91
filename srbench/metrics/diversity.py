"""Sigma: spread of the samples of one image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from srbench.interfaces import ImageMetric, ImagePair, MetricInfo
from srbench.metrics.samples import checked


def deviation(samples: Tensor) -> Tensor:
    """Map (n, 3, H, W) floating point to () float64 in grey levels."""
    if len(samples) == 1:
        return torch.zeros((), dtype=torch.float64)
    single = samples.detach().cpu().to(torch.float32)
    spread = np.empty(single.shape[1:])
    for row in range(0, single.shape[2], _ROWS):  # in float64, all samples at once would take much memory
        levels = 255 * single[:, :, row : row + _ROWS].contiguous().to(torch.float64).numpy()
        spread[:, row : row + _ROWS] = levels.std(axis=0, ddof=1)  # torch's std over samples is slower
    return torch.tensor(spread.mean())


_ROWS = 16
"""Number of image rows per pass."""


class Sigma(ImageMetric):
    """Standard deviation of pixels over samples, as in the code of the follow-up paper (HCFlow).

    It has no direction, because a higher temperature always adds diversity.
    """

    sees = "returned"
    needs = ("samples",)
    info = MetricInfo(
        name="sigma",
        title="sigma",
        group="Diversity",
        direction=0,
        unit="grey levels",
        signature="RGB|ddof1|v1",
        per="image",
        protocol=(
            "standard deviation (ddof 1) over the samples of an image as returned (not clamped, not rounded) "
            "times 255, mean over pixels and channels; 0 for one sample"
        ),
    )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """Measure (n, 3, H, W) samples: () float64 in grey levels. Raises MetricError for unusable output."""
        return deviation(checked(samples, pair))
