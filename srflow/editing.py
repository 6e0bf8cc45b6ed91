"""Edits of an HR image through its latents given LR (SRFlow, section 3.5).

Temperatures are those of sampling, multiplied by the relative temperature of each latent. Only ``transfer_style`` uses
the temperature as a plain factor, because it moves latents of a real image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.images.box import Box
from srflow.frame import pad_to_even
from srflow.given import Given
from srflow.latents import blend, masks, move_patch, normalize_channels, normalize_locations

SEAM = 8
"""Half-width in HR pixels of the band in which edited latents blend into the latents around them."""


@torch.no_grad()
def transfer_style(given: Given, hr: Tensor, source: Box, target: Box, *, temperature: float) -> Tensor:
    """Copy the texture at ``source`` to ``target`` in HR (3, H, W); returns the image, not clamped.

    The latents of the source box, times ``temperature`` and repeated if the target box is larger, replace those of the
    target box, and the image is decoded given its own LR (LR-consistent style transfer).
    Raises LatentError for a box that is not on the grid or leaves the image.
    """
    latents, _ = given.encode(hr[None])
    moved = move_patch([temperature * z for z in latents], given.strides, source, target)
    inside = _padded(given, torch.zeros_like(hr[0]))
    inside[target.y : target.y + target.height, target.x : target.x + target.width] = 1
    return _decoded(given, blend(latents, moved, masks(inside, given.strides, SEAM)))


@torch.no_grad()
def transfer_content(
    given: Given,
    hr: Tensor,
    given_pasted: Given,
    pasted: Tensor,
    mask: Tensor,
    *,
    temperature: float,
    generator: torch.Generator,
) -> Tensor:
    """Give HR (3, H, W) the detail of ``pasted`` where the mask (H, W) is 1; returns the image, not clamped.

    The pasted image is encoded given its own LR image. Its latents are normalised location by location to the
    statistics of a sample at this temperature (latent space normalization), replace those of HR inside the mask, and
    are decoded given the LR image of HR. The paper encodes the pasted image given the LR image of HR, although the two
    do not match; ``docs/latents.md`` compares both. ``generator`` is a CPU generator.
    """
    latents, _ = given.encode(hr[None])
    content, _ = given_pasted.encode(pasted[None])
    content = normalize_locations(content, given.temperatures(temperature), generator)
    soft = masks(_padded(given, mask), given.strides, SEAM)
    return _decoded(given, blend(latents, content, soft))


@torch.no_grad()
def restore(given: Given, hr: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
    """Remove from HR (3, H, W) what samples do not have, such as noise; returns the image, not clamped.

    The latents are normalised to the statistics of a sample at this temperature, first channel by channel, then
    location by location (image restoration). ``generator`` is a CPU generator. Raises LatentError if the deepest latent
    has a single location.
    """
    latents, _ = given.encode(hr[None])
    for normalize in (normalize_channels, normalize_locations):
        latents = normalize(latents, given.temperatures(temperature), generator)
    return _decoded(given, latents)


def _padded(given: Given, mask: Tensor) -> Tensor:
    """Pad a mask (H, W) to the even size that the flow sees."""
    return pad_to_even(mask[None, None], given.strides[-1] // 2)[0, 0]


def _decoded(given: Given, latents: list[Tensor]) -> Tensor:
    """Decode to HR (3, H, W), projected onto LR if the model's samples are."""
    return given.project(given.decode(latents))[0]
