"""Functions of every number by itself, with the same bits for any number of threads."""

from __future__ import annotations

import torch
from torch import Tensor

_SHARED = 2**15
"""Fewest numbers that torch shares among threads, and fewest for each."""
_TOGETHER = 32
"""Numbers that torch computes at once, at most. It computes what is left over at the end one by one, and rounds it
otherwise."""


def sigmoid(x: Tensor) -> Tensor:
    """``torch.sigmoid`` of maps (b, c, h, w), as one thread computes it.

    Every thread's share has an end of its own in torch; here every share but the last is a multiple of 32. Where
    autograd records, as in training, it is torch's.
    """
    threads = torch.get_num_threads()
    if x.device.type != "cpu" or threads == 1 or x.numel() < _SHARED or torch.is_grad_enabled():
        return torch.sigmoid(x)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for maps, results in zip(x.flatten(1), out.flatten(1), strict=True):
        start, size = 0, len(maps)
        while start < size:
            left = size - start
            shares = min(threads, -(-left // _SHARED))
            # torch makes so many shares of these, or one less
            end = size - left % (_TOGETHER * shares * (shares - 1)) if shares > 1 else size
            torch.sigmoid(maps[start:end], out=results[start:end])
            start = end
    return out
