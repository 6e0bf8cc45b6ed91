"""Samples of one LR image, decoded a few at a time: what lies between latents and images is larger than both."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from srbench.memory import out_of_memory


def in_groups(decode: Callable[[list[Tensor]], Tensor], latents: list[Tensor], together: int) -> Tensor:
    """Latents of n samples, which are used up -> (n, 3, H, W), at most ``together`` at a time.

    Images take the place of their latents, which are as large, but where sides had to be made even.
    Where a group is more than the device's memory holds, it goes on with half as many, which is said once; the latents
    are drawn by then, so the samples stay what they are. Raises what ``decode`` raises for a single one.
    """
    samples, shapes = len(latents[0]), [z.shape[1:] for z in latents]
    sizes = [shape.numel() for shape in shapes]
    packed = latents[0].new_empty(samples, sum(sizes))
    for columns in torch.split(packed, sizes, 1):
        columns.copy_(latents.pop(0).flatten(1))
    images, size = packed, torch.Size()
    start = 0
    while start < samples:
        group = slice(start, start + together)
        parts = zip(torch.split(packed[group], sizes, 1), shapes, strict=True)
        try:
            part = decode([z.reshape(-1, *shape) for z, shape in parts])
        except (RuntimeError, MemoryError) as error:
            tried = min(together, samples - start)
            if tried == 1 or not out_of_memory(error):
                raise
            together = tried // 2
            warnings.warn(f"out of memory: samples are decoded {together} at a time", stacklevel=2)
            continue  # the error, and with it what it held, is gone by then
        if start == 0:
            size = part.shape[1:]
            if size.numel() != sum(sizes):
                images = part.new_empty(samples, size.numel())
        images[group] = part.flatten(1)
        start += together
    return images.view(samples, *size)
