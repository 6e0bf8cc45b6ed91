"""Results of an edit: fit to LR, seams, kept detail; all on images truncated to 8 bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from srbench.images.box import Box
from srbench.images.io import luma, quantize_floor
from srbench.images.resize import downscale, upscale

LR_FIT_LIMIT = 51
"""LR-PSNR in dB of an image that fits LR perfectly before it is truncated to 8 bits.

Truncation subtracts half a grey level on average, so half of the LR pixels become one level darker:
10 log10(255^2 / 0.5) = 51.1."""


def cut(image: Tensor, box: Box) -> Tensor:
    """View of an image (..., H, W) inside a box, which may extend beyond the image."""
    return image[..., box.y : box.y + box.height, box.x : box.x + box.width]


def fit_to_lr(psnr: float) -> str:
    """Format LR-PSNR with an explanation: ``LR-PSNR 50.92 dB (fit to LR, higher is better, 8 bits allow about 51)``."""
    return f"LR-PSNR {psnr:.2f} dB (fit to LR, higher is better, 8 bits allow about {LR_FIT_LIMIT})"


def seam_energy(image: Tensor, mask: Tensor) -> float:
    """Mean squared difference of luma, in grey levels, across the border of a binary mask (H, W)."""
    grey = luma(quantize_floor(image)).double()
    inside = mask > 0.5
    steps = torch.cat([grey.diff(dim=axis)[inside.diff(dim=axis)] for axis in (0, 1)])
    return float(steps.square().mean()) if steps.numel() else 0.0


def kept_detail(image: Tensor, content: Tensor, mask: Tensor, scale: int) -> float:
    """Correlation between the detail of an image and of the content inside a mask (H, W): 1 if all detail is kept.

    Detail is what downscaling loses: the difference between an image and its downscaled copy, upscaled again.
    Brightness and coarse colour, which LR determines, do not count.
    """
    image_detail = _detail(image, scale)[:, mask > 0.5]
    content_detail = _detail(content, scale)[:, mask > 0.5]
    norm = math.sqrt(float(image_detail.square().sum() * content_detail.square().sum()))
    return float((image_detail * content_detail).sum()) / norm if norm else 0.0


def _detail(image: Tensor, scale: int) -> Tensor:
    exact = quantize_floor(image).double()
    return exact - upscale(downscale(exact, scale), scale)
