"""Projection onto the images that downscale to a given LR image.

Let D be bicubic downscaling and D+ its pseudo-inverse. D+ lr is the part of an image that LR determines, and x - D+ D x
is the part of x that downscaling discards. Their sum is an image close to x that downscales to LR (range-null-space
decomposition: Wang et al., "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", ICLR 2023).

D+ is computed by back-projection with bicubic upscaling U (Irani and Peleg, "Improving Resolution by Image
Registration", CVGIP 1991): x_0 = U lr and x_{i+1} = x_i + U (lr - D x_i). Every x_i is U applied to an LR image a_i
with a_{i+1} = a_i + (lr - D U a_i), so x_k = U a_k with a_k = sum_{i<=k} (I - D U)^i lr: filter LR, then upscale once.

Along rows and columns, D U is a filter with seven symmetric taps and mirrored borders, which the Fourier transform of
the mirrored LR image diagonalises (Martucci, "Symmetric Convolution and the Discrete Sine and Cosine Transforms",
IEEE Transactions on Signal Processing, 1994). So a_k multiplies every frequency of LR by sum_{i<=k} (1 - t)^i, where t
is the product of the horizontal and vertical responses. With Keys' kernel, D = U^T / scale^2. Half precision is
computed in float32.

Values that a projection moves outside [0, 1] are clipped when the image is written, and clipping changes the downscaled
image. So the image is projected alternately onto [0, 1] and onto the images that downscale to LR. Both sets are convex,
and relaxed projections, with step length 0 < r < 2 relative to the distance to the set, also converge to their
intersection (Youla and Webb, "Image Restoration by the Method of Convex Projections", IEEE Transactions on Medical
Imaging, 1982).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from srbench.images.resize import downscale, upscale

BACK_PROJECTIONS = 6
"""Number of iterations. After 2, 4 and 6, the LR error of an upscaled photograph is 0.43, 0.16 and 0.07 grey levels;
the last is below 8-bit precision."""

ALTERNATIONS = 3
"""Number of projections onto [0, 1]. After 0, 1, 2 and 3, a sample with 4 % of its values outside [0, 1] reaches an
LR-PSNR of 46, 52, 55 and 57 dB."""

RELAXATION = 1.9
"""Step length towards [0, 1], relative to the distance; 3 steps of 1.9 are as good as 6 steps of 1."""

SMALL = 256
"""Largest LR side that a CPU resizes by matrix products, which up to about this size beat torch's resizing."""


def upscale_consistently(lr: Tensor, scale: int) -> Tensor:
    """D+ lr: (..., h, w) -> (..., scale*h, scale*w), which downscales to ``lr``; linear in ``lr``, not clamped."""
    exact = lr.to(torch.promote_types(lr.dtype, torch.float32))
    return _upscale(_filter(exact, scale), scale).to(lr.dtype)


def project(hr: Tensor, lr: Tensor, scale: int) -> Tensor:
    """Project HR (..., scale*h, scale*w) onto the images that downscale to LR (..., h, w), ignoring the range [0, 1].

    LR broadcasts over HR images. Raises ImageError if ``scale`` does not divide the sides of HR.
    """
    exact = hr.to(torch.promote_types(hr.dtype, torch.float32))
    return (exact + upscale_consistently(lr - _downscale(exact, scale), scale)).to(hr.dtype)


def make_consistent(hr: Tensor, lr: Tensor, scale: int) -> Tensor:
    """Change HR (..., scale*h, scale*w) slightly so that it downscales to LR (..., h, w) even if clamped to [0, 1].

    LR broadcasts over HR images. Raises ImageError if ``scale`` does not divide the sides of HR.
    """
    exact = project(hr.to(torch.promote_types(hr.dtype, torch.float32)), lr, scale)
    for _ in range(ALTERNATIONS):
        exact = project(exact.lerp(exact.clamp(0, 1), RELAXATION), lr, scale)
    return exact.to(hr.dtype)


def _filter(lr: Tensor, scale: int) -> Tensor:
    """The LR image whose upscaling is D+ lr. Only its difference from ``lr`` goes through the transform's rounding."""
    height, width = lr.shape[-2:]
    mirrored = torch.cat([lr, lr.flip(-1)], -1)
    spectrum = torch.fft.rfft2(torch.cat([mirrored, mirrored.flip(-2)], -2))
    spectrum = spectrum * _gain(height, width, scale, lr.dtype, lr.device)
    return lr.add(torch.fft.irfft2(spectrum, s=(2 * height, 2 * width))[..., :height, :width])


def _upscale(lr: Tensor, scale: int) -> Tensor:
    if lr.device.type != "cpu" or max(lr.shape[-2:]) > SMALL:
        return upscale(lr, scale)
    rows, columns = (_spread(side, scale, lr.dtype) for side in lr.shape[-2:])
    with torch.autocast("cpu", enabled=False):
        return rows.mT.matmul(lr.matmul(columns))


def _downscale(hr: Tensor, scale: int) -> Tensor:
    if hr.device.type != "cpu" or any(side % scale or not 0 < side <= SMALL * scale for side in hr.shape[-2:]):
        return downscale(hr, scale)
    rows, columns = (_spread(side // scale, scale, hr.dtype) for side in hr.shape[-2:])
    with torch.autocast("cpu", enabled=False):
        return rows.matmul(hr).matmul(columns.mT) / scale**2


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # so that cached tensors can be used with autograd
def _gain(height: int, width: int, scale: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The filter's factors minus 1 for the ``rfft2`` frequencies of a mirrored image, (2 height, width + 1)."""
    residual = 1 - _response(2 * height, 2 * height, scale)[:, None] * _response(2 * width, width + 1, scale)
    gain = torch.zeros_like(residual)
    for _ in range(BACK_PROJECTIONS):
        gain = residual * (1 + gain)
    return gain.to(dtype).to(device)


def _response(period: int, count: int, scale: int) -> Tensor:
    """Response of D U at the first ``count`` frequencies of a mirrored line of ``period`` pixels; float64."""
    impulse = torch.eye(9, dtype=torch.float64, device="cpu")[4:5]
    taps = downscale(upscale(impulse, scale), scale)[0, 4:8]  # the centre and one side of the symmetric filter
    phases = 2 * torch.pi / period * torch.arange(count, dtype=torch.float64, device="cpu")[:, None]
    return 2 * torch.cos(phases * torch.arange(4, device="cpu")).matmul(taps) - taps[0]


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _spread(size: int, scale: int, dtype: torch.dtype) -> Tensor:
    """Upscaling matrix (size, scale * size): row i is the upscaled unit impulse at pixel i; on the CPU."""
    return upscale(torch.eye(size, dtype=torch.float64, device="cpu")[:, None], scale)[:, 0].to(dtype, copy=True)
