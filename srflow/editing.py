"""Edits of an HR image through its latents given LR (SRFlow, section 3.5).

A temperature is that of samples, relative temperatures included. Only ``transfer_style`` takes it as a plain factor,
because it moves latents of a real image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.images.box import Box
from srflow.frame import pad_to_even
from srflow.given import Given
from srflow.latents import blend, masks, move_patch, normalize_channels, normalize_locations

SEAM = 8
"""HR pixels to either side of an edge over which edited latents blend into those around them."""


@torch.no_grad()
def transfer_style(given: Given, hr: Tensor, source: Box, target: Box, *, temperature: float) -> Tensor:
    """HR (3, H, W) with the texture at ``source`` also at ``target``; not clamped.

    The latents of the source box, times ``temperature``, replace those of the target box, repeated where that is
    larger, and the image is decoded given its own LR (LR-consistent style transfer).
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
    """HR (3, H, W) with the detail of ``pasted`` where the mask (H, W) is 1; not clamped.

    The pasted image is encoded given its own LR image. Its latents get a sample's statistics at this temperature,
    location by location (latent space normalization), replace those of HR inside the mask, and are decoded given LR.
    The paper encodes the pasted image given the LR image that is kept, which it does not fit; ``docs/latents.md``
    compares the two. The generator lives on the CPU.
    """
    latents, _ = given.encode(hr[None])
    content, _ = given_pasted.encode(pasted[None])
    content = normalize_locations(content, given.temperatures(temperature), generator)
    soft = masks(_padded(given, mask), given.strides, SEAM)
    return _decoded(given, blend(latents, content, soft))


@torch.no_grad()
def restore(given: Given, hr: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
    """HR (3, H, W) without what a sample would not have, such as noise; not clamped.

    Its latents get a sample's statistics at this temperature, first channel by channel, then location by location
    (image restoration). The generator lives on the CPU.
    Raises LatentError for an image of one location.
    """
    latents, _ = given.encode(hr[None])
    for normalize in (normalize_channels, normalize_locations):
        latents = normalize(latents, given.temperatures(temperature), generator)
    return _decoded(given, latents)


def _padded(given: Given, mask: Tensor) -> Tensor:
    """A mask (H, W) at the size of the image that the flow sees."""
    return pad_to_even(mask[None, None], given.strides[-1] // 2)[0, 0]


def _decoded(given: Given, latents: list[Tensor]) -> Tensor:
    """HR (3, H, W); if samples are projected onto LR, so is the image."""
    return given.project(given.decode(latents))[0]
