"""Samples of one LR image, decoded a few at a time: what lies between latents and images is larger than both."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from srbench.system.memory import out_of_memory


def in_groups(
    decode: Callable[[list[Tensor]], Tensor], latents: Iterable[Tensor], numbers: int, together: int
) -> Tensor:
    """Latents of n samples, ``numbers`` of each in all -> (n, 3, H, W), at most ``together`` at a time.

    Latents are taken level by level and put together, and images take their place: they are as large, but where sides
    had to be made even.
    Where a group is more than the device's memory holds, it goes on with half as many, which is said once; the latents
    are drawn by then, so the samples stay what they are. Raises what ``decode`` raises for a single one.
    """
    packed, shapes = _packed(latents, numbers)
    samples, sizes = len(packed), [shape.numel() for shape in shapes]
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
            if size.numel() != numbers:
                images = part.new_empty(samples, size.numel())
        images[group] = part.flatten(1)
        start += together
    return images.view(samples, *size)


def _packed(latents: Iterable[Tensor], numbers: int) -> tuple[Tensor, list[torch.Size]]:
    """Latents of all levels (n, ...) side by side, (n, numbers), and the shapes of a sample's."""
    shapes: list[torch.Size] = []
    packed, end = torch.empty(0), 0
    for level in latents:
        if not shapes:
            packed = level.new_empty(len(level), numbers)
        shapes.append(level.shape[1:])
        start, end = end, end + shapes[-1].numel()
        packed[:, start:end] = level.flatten(1)
        del level  # before the next one is drawn
    assert end == numbers
    return packed, shapes
