"""The scale of a network that does not state it: that of its output for a small LR image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from srbench.models import ModelError
from srbench.system.file_names import one_line

SIDE = 64
"""Side of the LR image, for a network that takes any size."""


def probe_image(size: tuple[int, int] = (SIDE, SIDE), device: str = "cpu") -> Tensor:
    """A grey LR image of a height and width."""
    return torch.full((1, 3, *size), 0.5, device=device)


def probed_scale(
    network: Callable[[Tensor], Tensor], path: Path, size: tuple[int, int] = (SIDE, SIDE), device: str = "cpu"
) -> int:
    """The scale of the network in a file. Raises ModelError if it fails, or does not upscale."""
    height, width = size
    try:
        with torch.no_grad():
            found = tuple(network(probe_image(size, device)).shape)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except Exception as error:
        reason = one_line(error)[:200]
        raise ModelError(
            f"{path}: does not run on LR of {height}x{width} ({reason}); export it for RGB images"
        ) from None
    scale: int = found[-1] // width
    if scale < 1 or found != (1, 3, scale * height, scale * width):
        raise ModelError(f"{path}: makes {found} of (1, 3, {height}, {width}); it has to upscale")
    return scale
