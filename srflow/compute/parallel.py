"""Where work runs: independent pieces side by side, one processor core each.

The layers of a flow are many and small. Spread over two cores one at a time, they wait for each other more than they
compute; spread piece by piece, every core works through. On a GPU, with one core, and where gradients are wanted, whose
graph the threads would have to share, everything is computed at once in the calling thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

Value = TypeVar("Value")

SMALL = 256 * 256
"""HR pixels up to which one core alone is faster than two that share every operation (measured: crossover at 256^2)."""

CACHE_BYTES = 2 * 2**20
"""Where maps can be computed a few at a time, so much of the widest: what the caches of a core hold."""


def cores(device: torch.device) -> int:
    """How many pieces of work run side by side: as many as torch uses cores for a single operation, or 1."""
    return 1 if device.type != "cpu" or torch.is_grad_enabled() else torch.get_num_threads()


class Started(Sequence[Value]):
    """The results of pieces of work that may still run. Whoever takes one waits for it."""

    def __init__(self, futures: Sequence[Future[Value]]) -> None:
        self._futures = futures

    @overload
    def __getitem__(self, index: int) -> Value: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Value]: ...
    def __getitem__(self, index: int | slice) -> Value | Sequence[Value]:
        """The result, or the results of a slice that may still run."""
        return Started(self._futures[index]) if isinstance(index, slice) else self._futures[index].result()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._futures)


def start(pieces: Sequence[Callable[[], Value]], device: torch.device) -> Sequence[Value]:
    """Have pieces of work done, the last one first, since decoding begins there; returns their results in order."""
    number = cores(device)
    if number == 1:
        return [piece() for piece in reversed(pieces)][::-1]
    pool, inference = _pool(number), torch.is_inference_mode_enabled()
    return Started([pool.submit(_compute, piece, inference) for piece in reversed(pieces)][::-1])


def over_samples(decode: Callable[[Sequence[Tensor]], Tensor], latents: Sequence[Tensor], pixels: int) -> Tensor:
    """``decode`` of latents (n, ...) for images of so many HR pixels: some samples a core, or all cores for each."""
    device, samples = latents[0].device, len(latents[0])
    number = min(cores(device), samples)
    if number > 1 and (pixels <= SMALL or number == cores(device)):
        shares = zip(*(torch.tensor_split(z, number) for z in latents), strict=True)
        return torch.cat(list(start([partial(decode, share) for share in shares], device)))
    with one_core(device, pixels):
        return decode(latents)


def in_cache(function: Callable[[Tensor], Tensor], x: Tensor, condition: Sequence[Any]) -> Tensor:
    """``function`` of samples x (n, ...) that share a condition, as many at a time as the caches hold."""
    widest = max(_last_tensors(condition) or [x], key=lambda tensor: tensor.nbytes)
    if len(x) == 1 or len(widest) > 1 or x.device.type != "cpu":
        return function(x)
    together = max(1, CACHE_BYTES // widest.nbytes)
    return torch.cat([function(samples) for samples in torch.split(x, together)])


def _last_tensors(condition: Sequence[Any]) -> list[Tensor]:
    """The last tensors of nested sequences: of the layer that decoding begins with, so that no other is waited for."""
    for part in reversed(condition):
        found = [*condition] if isinstance(part, Tensor) else _last_tensors(part)
        if found:
            return found
    return []


@contextmanager
def one_core(device: torch.device, pixels: int) -> Iterator[None]:
    """Inside, an image of so few HR pixels has one core for itself, and pieces of work have the others."""
    before = cores(device)
    if before == 1 or pixels > SMALL:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _compute(piece: Callable[[], Value], inference: bool) -> Value:
    with torch.inference_mode(inference), torch.no_grad():
        return piece()


@cache
def _pool(number: int) -> ThreadPoolExecutor:
    """So many threads in which torch uses one core."""
    ready = threading.Barrier(number + 1)

    def prepare() -> None:
        torch.get_num_threads()  # at its first question a thread takes the number of the process
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(number, "srflow", initializer=prepare)
    for _ in range(number):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(number)  # the number of the process, which the threads have changed
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
