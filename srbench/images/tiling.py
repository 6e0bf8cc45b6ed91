"""Upscaling of a large image in tiles, so that the model's memory does not grow with the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from srbench.images import ImageError
from srbench.interfaces import SRModel

OVERLAP = 16
"""Overlap of a tile with each neighbour in LR pixels. Models with a larger receptive field give different values at the
seams; for the packaged RRDB networks, whose receptive field extends 93 pixels, the difference is at most 3e-6, and 1e-6
with an overlap of 48 (docs/command-line.md)."""


class Bounds(NamedTuple):
    """A rectangle of an image in pixels: the first row, the row after the last, and the same of its columns."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Number of pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def grown(self, halo: int, whole: Bounds) -> Bounds:
        """The region extended by ``halo`` pixels on each side, but not beyond ``whole``."""
        return Bounds(
            max(self.top - halo, whole.top),
            min(self.bottom + halo, whole.bottom),
            max(self.left - halo, whole.left),
            min(self.right + halo, whole.right),
        )

    def tiles(self, side: int) -> Iterator[Bounds]:
        """Yield tiles of at most ``side`` x ``side`` pixels that cover the region."""
        for top in range(self.top, self.bottom, side):
            for left in range(self.left, self.right, side):
                yield Bounds(top, min(top + side, self.bottom), left, min(left + side, self.right))


def crop(maps: Tensor, region: Bounds, extent: Bounds) -> Tensor:
    """Crop maps (..., H, W) that cover ``extent``, at any scale, to ``region``; a view."""
    (rows, columns), (height, width) = (extent.bottom - extent.top, extent.right - extent.left), maps.shape[-2:]
    top, bottom = ((row - extent.top) * height // rows for row in region[:2])
    left, right = ((column - extent.left) * width // columns for column in region[2:])
    return maps[..., top:bottom, left:right]


def upscale_in_tiles(
    model: SRModel, lr: Tensor, tile: int, progress: Callable[[float], None] = lambda fraction: None
) -> Tensor:
    """Upscale LR (3, h, w) to (1, 3, s*h, s*w) in overlapping tiles of at most ``tile`` x ``tile`` LR pixels each.

    Exact if the model's receptive field extends at most OVERLAP pixels, as for bicubic interpolation. ``progress`` is
    called after every tile with its fraction of the image. Raises ImageError for a result of a wrong size.
    """
    scale, (height, width) = model.scale, lr.shape[-2:]
    whole = Bounds(0, height, 0, width)
    out: Tensor | None = None
    for kept in whole.tiles(tile):
        window = kept.grown(OVERLAP, whole)
        part = crop(lr[None], window, whole).clone()  # windows overlap, and a model may change its input in place
        size = [scale * side for side in part.shape[-2:]]
        part = model(part)
        if list(part.shape) != [1, 3, *size]:
            raise ImageError(
                f"the result for a tile of {size[1] // scale}x{size[0] // scale} has shape {tuple(part.shape)}; it "
                f"must be (1, 3, {size[0]}, {size[1]}), {scale} times the tile"
            )
        if out is None:
            out = part.new_empty((1, 3, height * scale, width * scale))
        crop(out, kept, whole).copy_(crop(part, kept, window))
        progress(kept.area / whole.area)
    assert out is not None
    return out
