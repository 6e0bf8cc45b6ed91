"""Samples of one LR image, a few at a time: as many as memory and, within a level, the caches of a core hold."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from srbench.machine.memory import out_of_memory

CACHE_PIXELS = 2**13
"""Pixels of a map of 64 channels that fit the caches of one core: 2 MB."""


def in_cache(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` of samples x (n, c, h, w), as many at a time as the caches of a core hold.

    Without it, ten samples of CelebA 8x took 1.24 times as long (``benchmarks/parts.py --threads 2``).
    """
    if len(x) == 1 or x.device.type != "cpu":
        return function(x)
    together = max(1, CACHE_PIXELS // x[0, 0].numel())
    return torch.cat([function(samples) for samples in torch.split(x, together)])


def in_groups(decode: Callable[[Sequence[Tensor]], Tensor], latents: Iterable[Tensor], together: int) -> Tensor:
    """Latents of n samples -> (n, 3, H, W), decoded at most ``together`` at a time.

    Where the device lacks the memory for a group, all are halved, with a warning; the samples stay the same, because
    their latents have been drawn. Latents of decoded groups are freed. Raises what ``decode`` raises for one sample.
    """
    waiting = deque(_cut(latents, together))
    samples, images, start = sum(len(group[0]) for group in waiting), torch.empty(0), 0
    while waiting:
        group = waiting.popleft()
        try:
            decoded = decode(group)
        except (RuntimeError, MemoryError) as error:
            half = len(group[0]) // 2
            if half == 0 or not out_of_memory(error):
                raise
            warnings.warn(f"out of memory: samples are decoded {half} at a time", stacklevel=2)
            waiting = deque(part for whole in (group, *waiting) for part in _cut(whole, half))
            continue
        if start == 0:
            images = decoded.new_empty(samples, *decoded.shape[1:])
        images[start : start + len(decoded)] = decoded
        start += len(decoded)
    return images


def _cut(latents: Iterable[Tensor], together: int) -> Iterator[tuple[Tensor, ...]]:
    """Latents of at most ``together`` samples each, with memory of their own."""
    return zip(*([part.clone() for part in torch.split(level, together)] for level in latents), strict=True)
