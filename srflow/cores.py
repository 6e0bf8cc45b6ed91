"""Independent pieces of a network's work side by side, one processor core each.

The layers of a flow are many and small. Spread over two cores one at a time, they wait for each other more than they
compute; spread piece by piece, every core works through. A single small piece is done soonest by one core alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

SMALL = 256 * 256
"""HR pixels up to which one core alone is faster than two that share every operation (measured: crossover at 256^2)."""

CACHE_BYTES = 2 * 2**20
"""Where maps can be computed a few at a time, so much of the widest: what the caches of a core hold."""


class Cores(NamedTuple):
    """Where pieces of work go, and how many of them are done at a time."""

    executor: Executor
    number: int


@contextmanager
def side_by_side(device: torch.device) -> Iterator[Cores]:
    """Every piece of work on a core of its own, as many at a time as torch uses cores for a single operation.

    Inside the context torch uses one core for an operation. As ``one_by_one`` where that gains nothing or is not
    possible: on a GPU, with one core, and where gradients are wanted, whose graph the threads would have to share.
    """
    cores = torch.get_num_threads()
    if device.type != "cpu" or torch.is_grad_enabled() or cores == 1:
        yield one_by_one()
        return
    try:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(cores, initializer=_compute_alone) as pool:
            yield Cores(pool, cores)
    finally:
        torch.set_num_threads(cores)


def one_by_one() -> Cores:
    """Every piece of work at once, in the calling thread, on all cores."""
    return Cores(_AtOnce(), 1)


def fit_in_cache(map_of_one: Tensor, available: int) -> int:
    """How many of the available samples, each with maps like this one, are best computed together."""
    return max(1, CACHE_BYTES // map_of_one.nbytes) if map_of_one.device.type == "cpu" else available


def _compute_alone() -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)


class _AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **extra: Any) -> Future[Any]:  # noqa: ANN401
        future: Future[Any] = Future()
        future.set_result(function(*args, **extra))
        return future
