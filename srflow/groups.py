"""Samples of one LR image, decoded a few at a time: what lies between latents and images is larger than both."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from srbench.memory import out_of_memory


def in_groups(decode: Callable[[list[Tensor]], Tensor], latents: list[Tensor], together: int) -> Tensor:
    """Latents of n samples, which are used up -> (n, 3, H, W), at most ``together`` at a time.

    Latents are as large as images: those of a group are given up when it is done.
    Where a group is more than the device's memory holds, it goes on with half as many, which is said once; the latents
    are drawn by then, so the samples stay what they are. Raises what ``decode`` raises for a single one.
    """
    images: Tensor | None = None
    start, samples = 0, len(latents[0])
    levels = [_parts(latents.pop(0), together) for _ in range(len(latents))]
    group = [level.pop(0) for level in levels]
    while start < samples:
        size = len(group[0])
        try:
            part = decode([z[:together] for z in group])
        except (RuntimeError, MemoryError) as error:
            tried = min(together, size)
            if tried == 1 or not out_of_memory(error):
                raise
            together = tried // 2
            warnings.warn(f"out of memory: samples are decoded {together} at a time", stacklevel=2)
            continue  # the error, and with it what it held, is gone by then
        if images is None:
            images = part.new_empty((samples, *part.shape[1:]))
        images[start : start + len(part)] = part
        start += len(part)
        if size > together:
            group = [z[together:] for z in group]
        elif start < samples:
            group = [level.pop(0) for level in levels]
    assert images is not None
    return images


def _parts(latents: Tensor, together: int) -> list[Tensor]:
    """Latents (n, ...) as groups that do not keep each other in memory."""
    parts = torch.split(latents, together)
    return [part.clone() for part in parts] if len(parts) > 1 else [latents]
