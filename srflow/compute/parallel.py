"""Independent pieces of work side by side, one processor core each.

The layers of a flow are many and small. Spread over two cores one at a time, they wait for each other more than they
compute; spread piece by piece, every core is busy: ten samples of CelebA 8x took 1/1.69 of the time on two cores
(``benchmarks/parts.py --threads 2``). On a GPU, on one core, and where gradients are enabled, whose graph the threads
would have to share, everything is computed at once in the calling thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import TypeVar, cast

import torch
from torch import Tensor

Value = TypeVar("Value")

SMALL = 256 * 256
"""HR pixels up to which one core alone is faster than two that share every operation (measured: crossover at 256^2)."""

CACHE_PIXELS = 2**13
"""Pixels of a map of 64 channels that fit the caches of one core: 2 MB."""


def cores(device: torch.device) -> int:
    """Number of pieces of work that run side by side: the threads that torch uses for one operation, or 1."""
    return 1 if device.type != "cpu" or torch.is_grad_enabled() else torch.get_num_threads()


def start(pieces: Sequence[Callable[[], Value]], device: torch.device) -> Sequence[Value | Future[Value]]:
    """Begin pieces of work, the last one first, since decoding begins there; ``result`` waits for one of them."""
    number = cores(device)
    if number == 1:
        return [piece() for piece in reversed(pieces)][::-1]
    pool, inference = _pool(number, os.getpid()), torch.is_inference_mode_enabled()
    return [pool.submit(_compute, piece, inference) for piece in reversed(pieces)][::-1]


def result(started: Value | Future[Value]) -> Value:
    """The result of a piece of work, waited for."""
    return cast(Value, started.result()) if isinstance(started, Future) else started


def over_samples(decode: Callable[[Sequence[Tensor]], Tensor], latents: Sequence[Tensor], pixels: int) -> Tensor:
    """``decode`` of latents (n, ...) for images of so many HR pixels: some samples per core, or all cores for each."""
    device, samples = latents[0].device, len(latents[0])
    number = min(cores(device), samples)
    if number > 1 and (pixels <= SMALL or number == cores(device)):
        shares = zip(*(torch.tensor_split(z, number) for z in latents), strict=True)
        return torch.cat([result(part) for part in start([partial(decode, share) for share in shares], device)])
    with one_core(device, pixels):
        return decode(latents)


def in_cache(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` of samples x (n, c, h, w), as many at a time as the caches of a core hold.

    Ten samples of CelebA 8x took 1/1.25 of the time.
    """
    if len(x) == 1 or x.device.type != "cpu":
        return function(x)
    together = max(1, CACHE_PIXELS // x[0, 0].numel())
    return torch.cat([function(samples) for samples in torch.split(x, together)])


@contextmanager
def one_core(device: torch.device, pixels: int) -> Iterator[None]:
    """One core for an image of at most SMALL pixels; pieces of work that were begun have the others."""
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
def _pool(number: int, process: int) -> ThreadPoolExecutor:
    """Threads in which torch uses one core each; of this process, since they do not survive a fork."""
    ready = threading.Barrier(number + 1)

    def prepare() -> None:
        torch.get_num_threads()  # a thread that asks for the first time takes the number of the process
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(number, "srflow", initializer=prepare)
    for _ in range(number):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(number)  # the number of the process, which the threads have changed
    return pool
