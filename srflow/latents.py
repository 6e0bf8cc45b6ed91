"""Pure functions of latents: normalise, move, blend.

Latents are a list of tensors (n, c, h, w) as returned by ``Given.encode``, finest first. A location of a level with
stride t covers t x t HR pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.images.box import Box
from srbench.interfaces import SRBenchError

_PARALLEL = 1e-4
"""Sine of the angle below which two directions count as parallel; spherical weights would divide 0 by 0."""


class LatentError(SRBenchError):
    """Latents that an edit cannot use."""


def normalize_locations(
    latents: list[Tensor], temperatures: Sequence[float], generator: torch.Generator
) -> list[Tensor]:
    """Normalise the channels at every location to the mean and variance of a sample at each latent's temperature.

    Latent space normalization with local collections (SRFlow, section 3.5). With N channels, and m and s the empirical
    mean and standard deviation over the channels of a location,

        z' = s* / s (z - m) + m*,    m* ~ N(0, t^2/N),    s*^2 ~ Gamma((N-1)/2, 2 t^2/(N-1)).

    The temperature t is a standard deviation, as everywhere in this package; the paper's formula has a variance in its
    place. m* and s* are the mean and standard deviation of N fresh normal numbers from ``generator``, on the CPU.
    """
    return [_normalized(z, (1,), t, generator) for z, t in zip(latents, temperatures, strict=True)]


def normalize_channels(
    latents: list[Tensor], temperatures: Sequence[float], generator: torch.Generator
) -> list[Tensor]:
    """Like ``normalize_locations``, but over all locations of each channel of each level.

    These are the paper's spatial collections, which remove image-wide deviations such as noise or a tint.
    Raises LatentError if the deepest level has a single location, because a single number has no variance.
    """
    if latents[-1][0, 0].numel() < 2:
        raise LatentError(
            "the deepest latent has a single location and so no variance over locations; use a larger image"
        )
    return [_normalized(z, (2, 3), t, generator) for z, t in zip(latents, temperatures, strict=True)]


def _normalized(z: Tensor, dims: tuple[int, ...], temperature: float, generator: torch.Generator) -> Tensor:
    fresh = temperature * torch.randn(z.shape, generator=generator, device="cpu", dtype=torch.float32).to(z)
    deviation, mean = torch.std_mean(z, dims, keepdim=True)
    target_deviation, target_mean = torch.std_mean(fresh, dims, keepdim=True)
    tiny = torch.finfo(z.dtype).tiny
    return (z - mean) * (target_deviation / deviation.clamp_min(tiny)) + target_mean


def move_patch(latents: list[Tensor], strides: list[int], source: Box, target: Box) -> list[Tensor]:
    """Copy the latents at ``source`` over those at ``target``, at every level.

    A larger target is filled by repeating the patch; mirrored latents would decode to a different texture.
    Raises LatentError for a box that is not on the grid of a level or leaves the image.
    """
    moved = []
    for z, stride in zip(latents, strides, strict=True):
        top, left, height, width = _on_level(source, z, stride)
        to_top, to_left, to_height, to_width = _on_level(target, z, stride)
        rows = top + torch.arange(to_height, device=z.device) % height
        columns = left + torch.arange(to_width, device=z.device) % width
        copy = z.clone()
        copy[..., to_top : to_top + to_height, to_left : to_left + to_width] = z[..., rows[:, None], columns]
        moved.append(copy)
    return moved


def _on_level(box: Box, z: Tensor, stride: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of a box, in locations of a level."""
    edges = box.y, box.x, box.height, box.width
    if any(edge % stride for edge in edges):
        raise LatentError(f"box {box} is not on a grid of {stride} pixels; align it first")
    top, left, height, width = (edge // stride for edge in edges)
    if top + height > z.shape[-2] or left + width > z.shape[-1] or min(top, left) < 0:
        raise LatentError(f"box {box} leaves the image of {z.shape[-1] * stride}x{z.shape[-2] * stride}")
    return top, left, height, width


def masks(mask: Tensor, strides: list[int], softness: int = 0) -> list[Tensor]:
    """Downscale a mask (H, W) in [0, 1] to the grid of each level, (h, w), averaging over the pixels of a location.

    Its edge is first softened by a box blur of radius ``softness`` pixels.
    """
    soft = mask[None, None]
    if softness:
        window = 2 * softness + 1
        soft = F.avg_pool2d(F.pad(soft, (softness,) * 4, mode="replicate"), window, stride=1)
    return [F.avg_pool2d(soft, stride)[0, 0].clamp(0, 1) for stride in strides]


def blend(start: list[Tensor], end: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """Interpolate spherically from ``start``, where a level's weights (h, w) are 0, to ``end``, where they are 1.

    Shoemake's formula for the two channel vectors at every location. It preserves the variance, whereas averaging two
    independent samples loses variance and decodes to a blurred seam. A weight may also be a scalar (0-d).
    """
    return [_slerp(*level) for level in zip(start, end, weights, strict=True)]


def _slerp(start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    angle = torch.acos(F.cosine_similarity(start, end, dim=1).clamp(-1, 1)).unsqueeze(1)
    sine = torch.sin(angle)
    parallel = sine < _PARALLEL
    sine = sine.masked_fill(parallel, 1)
    start_weight = torch.where(parallel, 1 - weight, torch.sin((1 - weight) * angle) / sine)
    end_weight = torch.where(parallel, weight, torch.sin(weight * angle) / sine)
    return start_weight * start + end_weight * end
