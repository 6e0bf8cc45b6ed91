"""LR-PSNR: consistency of the downscaled output with the LR image."""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.images.resize import RoundHalves, downscale_uint8
from srbench.interfaces import ImagePair, MetricInfo
from srbench.metrics import MetricError
from srbench.metrics.pixel import decibels, mean_squared_errors
from srbench.metrics.samples import EightBitMetric, as_uint8


def downscaled(images: Tensor, scale: int, halves: RoundHalves) -> Tensor:
    """Downscale (n, 3, H, W) uint8 to (n, 3, H / scale, W / scale) uint8, on the CPU, one by one to save memory."""
    return torch.stack([downscale_uint8(image, scale, halves=halves) for image in images.cpu()])


def downscaled_to_lr(images: Tensor, pair: ImagePair, halves: RoundHalves) -> Tensor:
    """Downscale (n, 3, H, W) uint8 to the size of LR. Raises MetricError unless that divides H and W."""
    (height, width), (low_height, low_width) = images.shape[-2:], pair.lr.shape[-2:]
    scale = height // low_height
    if scale < 2 or (height, width) != (scale * low_height, scale * low_width):
        raise MetricError(
            f"{pair.name}: {width}x{height} is not 2, 3 or more times as large as LR, {low_width}x{low_height}; "
            "crop it to the scale times the size of LR"
        )
    return downscaled(images, scale, halves)


class LRPSNR(EightBitMetric):
    """Peak signal-to-noise ratio between the downscaled output and the LR image."""

    needs = ("LR", "downscaling")
    info = MetricInfo(
        name="lr_psnr",
        title="LR-PSNR",
        group="Consistency",
        is_primary=True,
        worst=True,
        direction=1,
        unit="dB",
        signature="RGB|matlab-bicubic|v1",
        protocol=(
            "uint8 RGB by {quantize}, downscaled by MATLAB's antialiased bicubic, rounded to uint8 after each of its "
            "two passes, halves to even as in SRFlow's test code, PSNR to the uint8 LR image"
        ),
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return (n,) values in dB, inf for outputs that downscale exactly to LR. Sizes must be multiples of LR's."""
        return decibels(mean_squared_errors(downscaled_to_lr(images, pair, "even"), as_uint8(pair.lr)))
