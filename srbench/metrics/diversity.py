"""Sigma: how much do the samples of one picture differ?"""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.metrics.samples import checked
from srbench.types import ImagePair


class Sigma:
    """Pixel standard deviation over samples, as the follow-up paper's code (HCFlow) computes it."""

    name = "sigma"
    title = "sigma"
    higher_is_better = True
    unit = "grey levels"
    digits = 2
    protocol = (
        "standard deviation (ddof 1) over the samples of a picture as returned (not clamped, not rounded) "
        "times 255, mean over pixels and channels; 0 for one sample"
    )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> () float64 in grey levels. Raises SampleError for unusable output."""
        if len(checked(samples, pair)) == 1:
            return torch.zeros((), dtype=torch.float64)
        levels = 255 * samples.detach().cpu().to(torch.float64).numpy()
        return torch.tensor(levels.std(axis=0, ddof=1).mean())  # numpy: torch's std over samples is three times slower
