"""The two halves of a batch side by side, on the cores of a CPU.

Threads that share every operation wait for each other thousands of times in a step, and what cannot be shared keeps all
but one of them idle. Threads with half of the patches each wait once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Part], Result], halves: Sequence[Part]) -> list[Result]:
    """``work`` of two halves at once, each with half of torch's threads, one of them in this thread; the results.

    Gradients that both add to the same parameters are the same in every run: torch adds one at a time, and a sum of two
    numbers does not depend on their order.
    """
    threads, (first, second) = torch.get_num_threads(), halves
    torch.set_num_threads(threads // 2)
    try:
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads // 2,)) as pool:
            other = pool.submit(work, second)
            return [work(first), other.result()]
    finally:
        torch.set_num_threads(threads)
