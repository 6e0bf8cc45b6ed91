"""What an edit did to an image: texture, seams, content that survived. All are measured on uint8 RGB by floor."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from srbench.images.io import luma, quantize_floor
from srbench.images.resize import downscale, upscale
from srbench.interfaces import Box

LR_FIT_LIMIT = 51
"""LR-PSNR in dB of an image that fits LR perfectly, once it is 8-bit: rounding down takes half a grey level of it on
average, so that half of the LR pixels come out one level lower, 10 log10(255^2 / 0.5) = 51.1."""
_BANDS = 6
_DARK = 1e-3
"""Squared grey levels added to every band's power, so that a flat region has a finite logarithm."""


def cut(image: Tensor, box: Box) -> Tensor:
    """The part of (..., H, W) in a box; what lies beyond the image is not there."""
    return image[..., box.y : box.y + box.height, box.x : box.x + box.width]


def fit_to_lr(psnr: float) -> str:
    """LR-PSNR for a reader: ``LR-PSNR 50.92 dB (fit to LR, higher is better, 8 bits allow about 51)``."""
    return f"LR-PSNR {psnr:.2f} dB (fit to LR, higher is better, 8 bits allow about {LR_FIT_LIMIT})"


def texture_distance(these: Tensor, those: Tensor, scale: int) -> Tensor:
    """How differently two regions (3, h, w) are textured, in decibels: a scalar, 0 for equal spectra.

    The mean absolute difference of their power spectra (luma, Hann window) in six bands of half an octave. The lowest
    begins at 1/(2 scale) cycles a pixel, the highest frequency an LR image holds: what it determines is not compared.
    """
    return (_spectrum(these, scale) - _spectrum(those, scale)).abs().mean()


def _spectrum(region: Tensor, scale: int) -> Tensor:
    grey = luma(quantize_floor(region)).double()
    height, width = grey.shape
    window = torch.outer(torch.hann_window(height, dtype=grey.dtype), torch.hann_window(width, dtype=grey.dtype))
    power = torch.fft.fft2((grey - grey.mean()) * window).abs().square() / window.square().sum()
    rows, columns = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    frequency = torch.hypot(rows[:, None], columns[None, :])
    lowest = 1 / (2 * scale)
    steps = torch.log2(frequency.clamp_min(1e-9) / lowest).mul(2).floor().clamp_max(_BANDS - 1)
    bands = [power[steps == band] for band in range(_BANDS)]
    return torch.stack([10 * torch.log10(band.mean() + _DARK) for band in bands if band.numel()])


def seam_energy(image: Tensor, mask: Tensor) -> float:
    """Mean squared step of luma, in grey levels, between neighbours of which one is inside a mask (H, W) of 0 and 1."""
    grey, inside = luma(quantize_floor(image)).double(), mask > 0.5
    steps = []
    for axis in (0, 1):
        crossing = inside.diff(dim=axis)
        steps.append(grey.diff(dim=axis)[crossing].square())
    crossed = torch.cat(steps)
    return float(crossed.mean()) if crossed.numel() else 0.0


def kept_detail(image: Tensor, content: Tensor, mask: Tensor, scale: int) -> float:
    """How much of a content's detail an image shows inside a mask (H, W): a correlation, 1 all of it, 0 nothing.

    Detail is what is lost when the image is downscaled by the scale and upscaled again; brightness and colour, which
    belong to LR, do not count.
    """
    shown, wanted = (_detail(p, scale)[:, mask > 0.5] for p in (image, content))
    norm = math.sqrt(float(shown.square().sum() * wanted.square().sum()))
    return float((shown * wanted).sum()) / norm if norm else 0.0


def _detail(image: Tensor, scale: int) -> Tensor:
    exact = quantize_floor(image).double()
    return exact - upscale(downscale(exact, scale), scale)
