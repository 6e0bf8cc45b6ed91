"""Colour shift: perceptual colour difference between the downscaled output and the LR image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.interfaces import ImagePair, MetricInfo
from srbench.metrics.consistency import downscaled_to_lr
from srbench.metrics.samples import EightBitMetric, as_uint8


class ColourShift(EightBitMetric):
    """Mean CIEDE2000 colour difference between the downscaled output and the LR image."""

    needs = ("LR", "downscaling")
    info = MetricInfo(
        name="colour_shift",
        title="colour shift",
        group="Consistency",
        direction=-1,
        unit="CIEDE2000",
        signature="Lab|matlab-bicubic|ciede2000|v2",
        protocol=(
            "uint8 RGB by {quantize}, downscaled by MATLAB's antialiased bicubic, rounded to uint8 after each of its "
            "two passes, halves up; it and the uint8 LR image as sRGB to CIELAB (D65, 2 degrees), CIEDE2000 with all "
            "weights 1 (Sharma et al., 2005), mean over all pixels"
        ),
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return (n,) differences, 0 for an output that downscales exactly to LR. Sizes must be multiples of LR's."""
        from skimage.color import deltaE_ciede2000  # slow to import

        lr = _lab(as_uint8(pair.lr))
        shifts = [deltaE_ciede2000(lr, _lab(image)).mean() for image in downscaled_to_lr(images, pair, "up")]
        return torch.tensor(shifts, dtype=torch.float64)


def _lab(image: Tensor) -> NDArray[np.float64]:
    """Convert (3, h, w) uint8 RGB to (h, w, 3) CIELAB."""
    from skimage.color import rgb2lab

    lab: NDArray[np.float64] = rgb2lab(image.permute(1, 2, 0).cpu().numpy())
    return lab
