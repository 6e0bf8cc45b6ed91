"""Which errors of libraries mean a lack of memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srbench.machine.memory import out_of_memory, shortage

ONNX = type("RuntimeException", (Exception,), {"__module__": "onnxruntime.capi.onnxruntime_pybind11_state"})


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        ONNX(
            "[ONNXRuntimeError] : 6 : Non-zero status code: bfc_arena.cc:376 Failed to allocate memory for requested "
            "buffer"
        ),
    ],
)
def test_errors_that_mean_a_lack_of_memory(error):
    assert out_of_memory(error)


def failure(allocate):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate()
    return caught.value


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (failure(lambda: torch.empty(10**14)), "out of memory on the CPU: 400 TB were wanted"),
        (failure(lambda: np.empty(10**15, np.uint8)), "out of memory on the CPU: 909 TiB were wanted"),
        (MemoryError(), "out of memory on the CPU"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to "
                "allocate 9 bytes."
            ),
            "out of memory on the CPU: 9 B were wanted",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"),
            "out of memory on the GPU: 2.00 GiB were wanted",
        ),
        (
            RuntimeError("MPS backend out of memory (MPS allocated: 3 GB). Tried to allocate 1.00 GB on private pool."),
            "out of memory on the GPU: 1.00 GB were wanted",
        ),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), "out of memory on the GPU"),
        (ONNX("bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 8"), "out of memory"),
    ],
)
def test_a_lack_of_memory_in_words(error, sentence):
    assert shortage(error) == sentence


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), ValueError("out of memory"), ONNX("Got invalid dimensions for input")]
)
def test_errors_that_do_not(error):
    assert not out_of_memory(error)
