"""MATLAB-exact bicubic resizing (``imresize``): antialiased when downscaling, symmetric at the borders.

The kernel is Keys' cubic with a = -0.5 (Keys, "Cubic convolution interpolation for digital image processing", 1981).
torch's antialiased bicubic resizing has the same kernel and MATLAB's window; only the border rule differs, so the image
is first extended symmetrically. Functions with floating-point output are differentiable, and all work on any device.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.images import ImageError

RoundHalves = Literal["up", "even"]
"""Rounding of values that lie exactly between two levels."""
LARGE = 2**24
"""Number of values above which images are resized channel by channel, because float64 takes memory."""


def downscale(images: Tensor, scale: int) -> Tensor:
    """Downscale like MATLAB's bicubic ``imresize``, without rounding.

    Args:
        images: (..., H, W), floating point.
        scale: Integer that divides both sides.

    Returns:
        (..., H/scale, W/scale) of the same data type.

    Raises:
        ImageError: The scale does not divide both sides.

    Examples:
        >>> downscale(torch.ones(3, 32, 48), 4).shape
        torch.Size([3, 8, 12])
    """
    height, width = _downscaled_size(images, scale)
    return _along(_along(images, -2, height), -1, width)


def upscale(images: Tensor, scale: int) -> Tensor:
    """Upscale floating-point images (..., h, w) to (..., h*scale, w*scale) of the same data type."""
    height, width = images.shape[-2:]
    return _along(_along(images, -2, height * scale), -1, width * scale)


def downscale_uint8(images: Tensor, scale: int, *, halves: RoundHalves = "up") -> Tensor:
    """Downscale uint8 like MATLAB: rows first, rounded to uint8, then columns, rounded again. Computed in float64.

    The intermediate rounding and the rounding of exact halves are part of the definition of the public LR datasets:
    MATLAB rounds halves up, the Python port of imresize in the official SRFlow test code to even. The two differ by one
    level, in 0.5 % of the values at 2x and 0.03 % at 4x.

    Args:
        images: (..., H, W) uint8.
        scale: Integer that divides both sides.
        halves: ``up`` as MATLAB makes an image, ``even`` as SRFlow's test code downscales an output.

    Returns:
        (..., H/scale, W/scale) uint8.

    Raises:
        ImageError: The scale does not divide both sides.

    Examples:
        >>> downscale_uint8(torch.full((3, 32, 48), 7, dtype=torch.uint8), 4).unique()
        tensor([7], dtype=torch.uint8)
    """
    height, width = _downscaled_size(images, scale)
    return _along_uint8(_along_uint8(images, -2, height, halves), -1, width, halves)


def upscale_uint8(images: Tensor, scale: int) -> Tensor:
    """Upscale uint8 like MATLAB: rows first, rounded to uint8, then columns, rounded again (halves up)."""
    height, width = images.shape[-2:]
    return _along_uint8(_along_uint8(images, -2, height * scale, "up"), -1, width * scale, "up")


def mirrored(size: int, border: int, device: torch.device | None = None) -> Tensor:
    """Indices -border .. size+border-1, reflected at the edges (edge pixel included) as often as needed."""
    position = torch.arange(-border, size + border, device=device) % (2 * size)
    return torch.where(position < size, position, 2 * size - 1 - position)


def _downscaled_size(images: Tensor, scale: int) -> tuple[int, int]:
    height, width = images.shape[-2:]
    if height % scale or width % scale or not height or not width:
        raise ImageError(
            f"an image of {width}x{height} cannot be downscaled {scale} times; crop it to a multiple of {scale}"
        )
    return height // scale, width // scale


def _along_uint8(images: Tensor, dim: int, size: int, halves: RoundHalves) -> Tensor:
    if images.numel() > LARGE and images.dim() > 2:
        return torch.stack([_along_uint8(image, dim, size, halves) for image in images])
    # MPS has no float64; in float32, exact halves may round either way
    exact = torch.float32 if images.device.type == "mps" else torch.float64
    resized = _along(images.to(exact), dim, size)
    whole = resized.add(0.5).floor() if halves == "up" else resized.round()
    return whole.clamp(0, 255).to(torch.uint8)


def _along(images: Tensor, dim: int, size: int) -> Tensor:
    """Resize one dimension (-1 or -2) to ``size``, which divides the old size or is a multiple of it."""
    old = images.shape[dim]
    if old == size:
        return images
    if dim == -2 and images.shape[-1] == 1:  # torch would return a constant image
        return _along(images.mT, -1, size).mT
    shrink, grow = max(old // size, 1), max(size // old, 1)
    border = 2 * shrink if shrink > 1 else 3  # radius of the kernel, a whole number of output pixels
    extended = images.index_select(dim, mirrored(old, border, images.device))
    new = list(images.shape[-2:])
    new[dim] = size + 2 * border * grow // shrink
    flat = extended.reshape(-1, 1, *extended.shape[-2:])
    resized = F.interpolate(flat, size=new, mode="bicubic", antialias=True, align_corners=False)
    resized = resized.reshape(*images.shape[:-2], *new)
    return resized.narrow(dim, border * grow // shrink, size)
