"""Pure functions of latents: normalise, move, blend.

Latents are a list of tensors (n, c, h, w) as ``Given.encode`` returns them, finest first, the deepest last. A location
of a level with stride t stands for t x t pixels of HR.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.images.box import Box
from srbench.interfaces import SRBenchError

_PARALLEL = 1e-4
"""Sine of the angle below which two directions count as one, because the spherical weights would divide 0 by 0."""


class LatentError(SRBenchError):
    """Latents that cannot be used in this way."""


def normalize_locations(
    latents: list[Tensor], temperatures: Sequence[float], generator: torch.Generator
) -> list[Tensor]:
    """Give the channels at every location of every level the mean and variance of a sample's at its temperature.

    SRFlow, section 3.5, latent space normalization, the local collections: with N the number of channels and m, s the
    empirical mean and standard deviation of a location,

        z' = s* / s (z - m) + m*,    m* ~ N(0, t^2/N),    s*^2 ~ Gamma((N-1)/2, 2 t^2/(N-1)).

    Here t is a standard deviation, as everywhere in this package; the paper writes a variance there. m* and s* are the
    mean and standard deviation of N fresh normal numbers. The generator lives on the CPU.
    """
    return [_normalized(z, (1,), t, generator) for z, t in zip(latents, temperatures, strict=True)]


def normalize_channels(
    latents: list[Tensor], temperatures: Sequence[float], generator: torch.Generator
) -> list[Tensor]:
    """As ``normalize_locations``, but over all locations of one channel of one level.

    The paper's spatial collections: they remove an excess in the whole image, such as noise or a tint.
    Raises LatentError for a level of one location, because one number has no variance.
    """
    if latents[-1][0, 0].numel() < 2:
        raise LatentError("a level of one location has no statistics over locations; use a larger image")
    return [_normalized(z, (2, 3), t, generator) for z, t in zip(latents, temperatures, strict=True)]


def _normalized(z: Tensor, collected: tuple[int, ...], temperature: float, generator: torch.Generator) -> Tensor:
    fresh = temperature * torch.randn(z.shape, generator=generator, device="cpu").to(z)
    spread, mean = torch.std_mean(z, collected, keepdim=True)
    wanted_spread, wanted_mean = torch.std_mean(fresh, collected, keepdim=True)
    tiny = torch.finfo(z.dtype).tiny
    return (z - mean) * (wanted_spread / spread.clamp_min(tiny)) + wanted_mean


def move_patch(latents: list[Tensor], strides: list[int], source: Box, target: Box) -> list[Tensor]:
    """The latents at ``source`` written over those at ``target``, at every level.

    A larger target repeats the patch, because mirrored latents would be others.
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
    """Top, left, height and width of a box in locations."""
    edges = box.y, box.x, box.height, box.width
    if any(edge % stride for edge in edges):
        raise LatentError(f"box {box} is not on a grid of {stride} pixels; align it first")
    top, left, height, width = (edge // stride for edge in edges)
    if top + height > z.shape[-2] or left + width > z.shape[-1] or min(top, left) < 0:
        raise LatentError(f"box {box} leaves the image of {z.shape[-1] * stride}x{z.shape[-2] * stride}")
    return top, left, height, width


def masks(mask: Tensor, strides: list[int], softness: int = 0) -> list[Tensor]:
    """A mask (H, W) in [0, 1] on the grids of all levels: (h, w) each, the mean over the pixels of a location.

    First a square window that reaches ``softness`` pixels to either side softens the edge.
    """
    soft = mask[None, None]
    if softness:
        window = 2 * softness + 1
        soft = F.avg_pool2d(F.pad(soft, (softness,) * 4, mode="replicate"), window, stride=1)
    return [F.avg_pool2d(soft, stride)[0, 0].clamp(0, 1) for stride in strides]


def blend(these: list[Tensor], those: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """Spherical interpolation: ``these`` where the weights (h, w) of a level are 0, ``those`` where they are 1.

    Shoemake's formula, at every location, for its two vectors of channels: it keeps the variance, where a mean of two
    independent samples would lose some and decode to a blurred seam. A weight may also be one number (0-d).
    """
    return [_slerp(*level) for level in zip(these, those, weights, strict=True)]


def _slerp(this: Tensor, that: Tensor, weight: Tensor) -> Tensor:
    angle = torch.acos(F.cosine_similarity(this, that, dim=1).clamp(-1, 1)).unsqueeze(1)
    sine = torch.sin(angle)
    parallel = sine < _PARALLEL
    sine = sine.masked_fill(parallel, 1)
    first = torch.where(parallel, 1 - weight, torch.sin((1 - weight) * angle) / sine)
    second = torch.where(parallel, weight, torch.sin(weight * angle) / sine)
    return first * this + second * that
