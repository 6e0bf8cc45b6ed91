"""A simulated GPU: programs run on shapes and devices without numbers, and an operation on two devices fails.

torch's FakeTensorMode does everything that torch does before it computes. The simulated GPU is the device
``imaginary``, which a recent PyTorch lets us register, or ``cuda``, which needs PyTorch's build for CUDA but no GPU.
A program that reads a value gets one of ANSWERS.

All of this changes torch for good, so these tests run in a process of their own: see ``tests/test_placement.py``.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils import backend_registration
from torch.utils._pytree import tree_map_only

from srbench.machine import precision
from srbench.metrics import lpips_network, parameters

ATEN = torch.ops.aten
READING = (
    *(ATEN._local_scalar_dense.default, ATEN.equal.default, ATEN.nonzero.default, ATEN.masked_select.default),
    ATEN._linalg_check_errors.default,
)
"""Operations for whose results the CPU waits if they run on a GPU."""
COPYING = (ATEN._to_copy.default, ATEN.copy_.default)
ANSWERS = {torch.bool: True, torch.int64: 0}
"""Values that a program reads, by type: all values are finite, no pixel is broken. Values of other types are 1."""
READERS = ((parameters, "load_file"), (lpips_network, "read_tensors"))
"""Functions that read tensors from a file, by module; they run outside the mode, which would read no numbers."""


class WrongDeviceError(RuntimeError):
    """An operation on tensors of several devices."""


class Imagination(FakeTensorMode):
    """FakeTensorMode that lets programs read values and copy networks, and refuses any operation on two devices.

    ``waits`` lists the operations for which the CPU waited for a GPU.
    """

    waits: list[str]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = self.computed(func, types, args, kwargs)
        places = [tensor.device.type for tensor in (*tensors_in(args), *tensors_in([made]))]
        copied = func in COPYING and places[-1] == "cpu" != places[func is ATEN.copy_.default]
        if copied or (func in READING and places[0] != "cpu"):
            self.waits.append(str(func))
        return made

    def computed(self, func, types, args=(), kwargs=None):
        tensors = [*tensors_in([*args, *(kwargs or {}).values()])]
        # single numbers may come from the CPU; torch's own check leaves out some operations, such as fused optimisers
        devices = {tensor.device for tensor in tensors if tensor.dim()}
        if len(devices) > 1 and func is not ATEN.copy_.default:
            raise WrongDeviceError(f"{func}: not on the same device, but on {', '.join(sorted(map(str, devices)))}")
        if func is ATEN.equal.default:
            return args[0].shape == args[1].shape
        if func is ATEN._local_scalar_dense.default:
            return ANSWERS.get(tensors[0].dtype, 1.0)
        if func in self.lift_fns:  # for torch.tensor; torch would keep the numbers and compute with them
            made = super().__torch_dispatch__(func, types, args, kwargs)
            made.constant = None
            return made
        if not all(isinstance(tensor, FakeTensor) for tensor in tensors):
            args, kwargs = self.imagined((args, kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs)

    def imagined(self, values):
        """Convert real tensors, made before the mode or read from a file, to some without numbers."""
        return tree_map_only(
            Tensor, lambda tensor: tensor if isinstance(tensor, FakeTensor) else self.from_tensor(tensor), values
        )

    def __deepcopy__(self, memo):
        """Return the mode, to which all tensors of a copied network refer; freeing a copy crashes the process later."""
        return self


def tensors_in(values):
    """Yield all tensors in nested lists and tuples."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)


class GPU:
    """The simulated GPU: inputs on it, and questions about results."""

    def __init__(self, name, mode):
        self.device, self.mode = torch.device(name), mode

    @contextmanager
    def waits(self):
        """List the operations for which the CPU waits for the GPU in this context."""
        self.mode.waits = []
        yield self.mode.waits

    def pair(self, scale, *batch, height=6, width=5):
        """Return LR (*batch, 3, height, width) and HR on the GPU."""
        return tuple(torch.rand(*batch, 3, height * size, width * size, device=self.device) for size in (1, scale))

    def holds(self, *results):
        """Return whether the results hold tensors, all of them on the GPU."""
        return {tensor.device.type for tensor in tensors_in(results)} == {self.device.type}


def applied(module, function, recurse=True):
    """Replace ``Module._apply``, on which ``Module.to`` is built:
    torch's cannot exchange the memory of these parameters."""
    for child in module.children():
        child._apply(function)
    with torch.no_grad():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(function(parameter), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else function(buffer)
    return module


def as_array(tensor):
    """Replace ``Tensor.numpy``: random numbers of the same shape and type.
    Raises WrongDeviceError for a tensor on a GPU."""
    if tensor.device.type != "cpu":
        raise WrongDeviceError("a GPU's memory cannot be read by numpy")
    numbers = np.random.default_rng(0).random(tuple(tensor.shape))
    kind = str(tensor.dtype).removeprefix("torch.")
    return (255 * numbers if kind == "uint8" else numbers).astype(kind if "int" in kind else np.float32)


def pytest_addoption(parser):
    parser.addoption("--device", choices=["imaginary", "cuda"], default="imaginary")


@pytest.fixture(scope="session")
def imagination(request):
    """The mode, with all of torch and srbench replaced that would need numbers."""
    if request.config.getoption("--device") == "imaginary":
        backend_registration._setup_privateuseone_for_python_backend("imaginary")
        torch.imaginary.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]  # torch 2.15 asks for it
    mode = Imagination()
    mode.waits = []

    def imagined(read):
        def from_file(path):
            with unset_fake_temporarily():
                numbers = read(path)
            return mode.imagined(numbers)

        return from_file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "TF32_DEVICE", request.config.getoption("--device"))
        patch.setattr(FakeTensor, "data_ptr", lambda tensor: 0)
        patch.setattr(FakeTensor, "numpy", as_array)
        patch.setattr(nn.Module, "_apply", applied)
        for module, name in READERS:
            patch.setattr(module, name, imagined(getattr(module, name)))
        for name in ("synchronize", "reset_peak_memory_stats", "memory_allocated", "max_memory_allocated"):
            patch.setattr(torch.cuda, name, lambda device: 0)
        yield mode


@pytest.fixture(autouse=True)
def gpu(request, imagination):
    with imagination:
        yield GPU(request.config.getoption("--device"), imagination)


@pytest.fixture
def backward(gpu):
    """Skip programs that compute gradients where the simulated GPU is ``cuda``."""
    if gpu.device.type == "cuda":
        pytest.skip("torch asks the driver for streams before a backward pass")
