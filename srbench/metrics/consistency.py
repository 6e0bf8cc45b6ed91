"""LR-PSNR: consistency of the downscaled result with the LR image."""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.images.resize import downscale_uint8
from srbench.interfaces import ImagePair, MetricFacts
from srbench.metrics import MetricError
from srbench.metrics.arguments import Images, Values, measured
from srbench.metrics.pixel import decibels, mean_squared_errors
from srbench.metrics.samples import ImageMetric, as_uint8


def lr_psnr(sr: Images, lr: Images) -> Values:
    """PSNR in dB of the downscaled image to its LR image; ``inf`` where that is met exactly.

    Downscaling is MATLAB's antialiased bicubic ``imresize``, rounded to uint8 after each of its two passes (Keys, 1981;
    ``srbench.images.resize``), as in the test code of SRFlow (Lugmayr et al., 2020). The scale is H / h, which must be
    W / w and a whole number from 2 up.

    Args:
        sr: (3, H, W) or (n, 3, H, W), RGB: uint8, or floating point in [0, 1] that is clamped and floored to uint8.
        lr: (3, h, w) for all, or (n, 3, h, w), one each.

    Returns:
        A float for one image, (n,) float64 for a batch.

    Raises:
        MetricError: Sizes do not fit, or something is no image.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import lr_psnr
        >>> lr = np.full((3, 8, 8), 100, dtype=np.uint8)
        >>> round(lr_psnr(np.full((3, 32, 32), 101, dtype=np.uint8), lr), 4)
        48.1308
    """
    return measured(LRPSNR(), sr, lr=lr)


def downscaled(images: Tensor, scale: int) -> Tensor:
    """(n, 3, H, W) uint8 -> (n, 3, H / scale, W / scale) uint8 on the CPU, one by one: float64 takes memory."""
    return torch.stack([downscale_uint8(image, scale) for image in images.cpu()])


def downscaled_to_lr(images: Tensor, pair: ImagePair) -> Tensor:
    """(n, 3, H, W) uint8 -> ``downscaled`` to the size of LR. Raises MetricError unless that divides their size."""
    (height, width), (low_height, low_width) = images.shape[-2:], pair.lr.shape[-2:]
    scale = height // low_height
    if scale < 2 or (height, width) != (scale * low_height, scale * low_width):
        raise MetricError(
            f"{pair.name}: {width}x{height} is not 2, 3 or more times as large as LR, {low_width}x{low_height}; "
            "crop it to the scale times the size of LR"
        )
    return downscaled(images, scale)


class LRPSNR(ImageMetric):
    """Peak signal-to-noise ratio of the downscaled result to the LR image."""

    facts = MetricFacts(
        name="lr_psnr",
        title="LR-PSNR",
        group="Consistency",
        leads=True,
        direction=1,
        unit="dB",
        signature="RGB|matlab-bicubic|v1",
        sees="uint8",
        needs=("LR",),
        protocol=(
            "uint8 RGB by {quantize}, downscaled by MATLAB's antialiased bicubic, rounded to uint8 after each of its "
            "two passes, PSNR to the uint8 LR image"
        ),
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """(n,) in dB; inf where the LR image is met exactly. HR must be a whole multiple of LR."""
        return decibels(mean_squared_errors(downscaled_to_lr(images, pair), as_uint8(pair.lr)))
