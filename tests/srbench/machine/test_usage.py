"""Time and memory of a block of code, on the processor and on a GPU that takes its time."""

from __future__ import annotations

import pytest
import torch

from srbench.machine import usage
from srbench.machine.memory import peak_memory_mb
from srbench.machine.usage import usage_on


def test_a_block_on_the_processor(monkeypatch):
    seconds = iter([5.0, 7.5])
    monkeypatch.setattr(usage.time, "perf_counter", lambda: next(seconds))
    with usage_on("cpu") as measured:
        torch.ones(3)
    assert measured.seconds == 2.5
    assert measured.peak_memory_mb == pytest.approx(peak_memory_mb("cpu"), rel=0.1)
    assert measured.allocated_bytes == 0


def test_a_block_on_a_gpu_includes_what_it_started(monkeypatch):
    """The GPU holds 100 bytes; the block adds 2**20, and the GPU finishes 3 s after Python."""
    clock, finished, reset = [0.0], [], []
    monkeypatch.setattr(usage.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 100 + 2**20)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)

    def synchronize(device):
        finished.append(device)
        clock[0] += 3.0

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    with usage_on("cuda:1") as measured:
        clock[0] += 1.0
    assert (measured.seconds, measured.allocated_bytes) == (4.0, 2**20)
    assert measured.peak_memory_mb == pytest.approx(1, abs=1e-3)
    assert finished == ["cuda:1"] * 2
    assert reset == ["cuda:1"]


def test_an_error_in_a_block_is_passed_on():
    with pytest.raises(ValueError, match="in the block"), usage_on("cpu") as measured:
        raise ValueError("in the block")
    assert measured.seconds == 0
