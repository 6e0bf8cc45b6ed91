"""Independent pieces of a network's work side by side, one processor core each.

The layers of a flow are many and small. Spread over two cores one at a time, they wait for each other more than they
compute; spread piece by piece, every core works through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def each_on_a_core(function: Callable[[Piece], Result], pieces: Iterable[Piece], device: torch.device) -> list[Result]:
    """``[function(piece) for piece in pieces]``, on as many cores as torch uses for a single operation.

    One after the other where that gains nothing or is not possible: on a GPU, with one core, and where gradients are
    wanted, whose graph the threads would have to share.
    """
    pieces, cores = list(pieces), torch.get_num_threads()
    if device.type != "cpu" or torch.is_grad_enabled() or min(cores, len(pieces)) < 2:
        return [function(piece) for piece in pieces]
    try:
        with ThreadPoolExecutor(cores, initializer=partial(torch.set_num_threads, 1)) as pool:
            return list(pool.map(torch.no_grad()(function), pieces))
    finally:
        # The threads' number became the default of threads to come.
        torch.set_num_threads(cores)
