"""Time and memory that computations take on a device, and their operations."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from srbench.machine.memory import peak_memory_mb

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Usage:
    """Time and memory of a block of code."""

    seconds: float = 0.0
    peak_memory_mb: float | None = None
    """Peak memory of torch on a GPU during the block, or of this process until its end; None if unknown."""
    allocated_bytes: int = 0
    """Bytes that torch allocated on a GPU in addition to those at the start, at the peak; 0 on other devices."""


@contextmanager
def usage_on(device: str) -> Iterator[Usage]:
    """Measure a block; the result is filled in once the device has finished what the block started.

    Blocks on a GPU must not be nested, because each resets the peak. ``device`` is ``cpu``, ``cuda``, ``cuda:1``,
    ``mps``.
    """
    on_gpu = device.startswith("cuda")
    _finish(device)
    before = 0
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    usage = Usage()
    start = time.perf_counter()
    yield usage
    _finish(device)
    usage.seconds = time.perf_counter() - start
    usage.peak_memory_mb = peak_memory_mb(device)
    if on_gpu:
        usage.allocated_bytes = torch.cuda.max_memory_allocated(device) - before


def _finish(device: str) -> None:
    """Wait for all computations on a device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def operation_counter() -> FlopCounterMode:
    """Return torch's counter of the operations of products, with oneDNN's convolutions, which it does not know."""
    # Imported here: it loads Triton, if installed, which prints warnings when a process ends.
    from torch.utils.flop_counter import FlopCounterMode

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_convolution: _convolution})


def _convolution(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:  # noqa: ANN401
    operations: int = 2 * math.prod(out_shape) * math.prod(weight[1:])
    return operations
