"""Which errors of libraries mean a lack of memory."""

from __future__ import annotations

import pytest
import torch

from srbench.machine.memory import out_of_memory

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
            "[ONNXRuntimeError] : 6 : Non-zero status code: bfc_arena.cc:376 Failed to allocate memory for requested buffer"
        ),
    ],
)
def test_errors_that_mean_a_lack_of_memory(error):
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), ValueError("out of memory"), ONNX("Got invalid dimensions for input")]
)
def test_errors_that_do_not(error):
    assert not out_of_memory(error)
