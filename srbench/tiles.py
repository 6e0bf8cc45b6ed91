"""Enlarge a large picture in tiles, so that the model's memory does not grow with the picture."""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.types import SRModel

OVERLAP = 16
"""LR pixels that a tile sees of each neighbour. A network that looks further gives slightly other numbers at seams."""


def enlarge_in_tiles(model: SRModel, lr: Tensor, tile: int) -> Tensor:
    """LR (3, h, w) -> (1, 3, s*h, s*w), in tiles of at most ``tile`` x ``tile`` LR pixels and their surroundings.

    Exact for a model that looks no further than OVERLAP pixels, such as bicubic interpolation.
    """
    scale, (height, width) = model.scale, lr.shape[-2:]
    out: Tensor | None = None
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            first_row, first_column = max(top - OVERLAP, 0), max(left - OVERLAP, 0)
            bottom, right = min(top + tile, height), min(left + tile, width)
            part = model(lr[None, :, first_row : bottom + OVERLAP, first_column : right + OVERLAP])
            kept = part[
                ...,
                (top - first_row) * scale : (bottom - first_row) * scale,
                (left - first_column) * scale : (right - first_column) * scale,
            ]
            if out is None:
                out = torch.empty((1, 3, height * scale, width * scale), dtype=part.dtype, device=part.device)
            out[..., top * scale : bottom * scale, left * scale : right * scale] = kept
    assert out is not None
    return out
