"""Samples of one LR image, decoded a few at a time: what lies between latents and images is larger than both."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from torch import Tensor

from srbench.memory import out_of_memory


def in_groups(decode: Callable[[list[Tensor]], Tensor], latents: Sequence[Tensor], together: int) -> Tensor:
    """Latents of n samples -> (n, 3, H, W), at most ``together`` at a time.

    Where that is more than the device's memory holds, it goes on with half as many, which is said once; the latents
    are drawn by then, so the samples stay what they are. Raises what ``decode`` raises for a single one.
    """
    images: Tensor | None = None
    start, samples = 0, len(latents[0])
    while start < samples:
        group = slice(start, start + together)
        try:
            part = decode([z[group] for z in latents])
        except (RuntimeError, MemoryError) as error:
            tried = min(together, samples - start)
            if tried == 1 or not out_of_memory(error):
                raise
            together = tried // 2
            warnings.warn(f"out of memory: samples are decoded {together} at a time", stacklevel=2)
            continue  # the error, and with it what it held, is gone by then
        if images is None:
            images = part.new_empty((samples, *part.shape[1:]))
        images[group] = part
        start += together
    assert images is not None
    return images
