"""A GPU that does not exist: whole programs run on it, of shapes and devices alone, and no two devices mix.

torch's FakeTensorMode does all that torch does before it computes, and refuses what lies on different devices. As the
GPU serves a device ``imaginary``, which any recent PyTorch can be given, or ``cuda``, which takes PyTorch's build for
CUDA, and no GPU. There are no numbers: a program that asks for some is told that all is well.

All of this changes torch for good, so these files run in a process of their own: see ``tests/test_placement.py``.
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
"""Operations on a GPU whose results the CPU waits for."""
COPYING = (ATEN._to_copy.default, ATEN.copy_.default)
ANSWERS = {torch.bool: True, torch.int64: 0}
"""To the question for a value: yes, it is finite; no pixel is broken. Other numbers are 1."""
READERS = ((parameters, "load_file"), (lpips_network, "read_tensors"))
"""Readers of files with numbers, from a path; they work outside of the mode."""


class WrongDeviceError(RuntimeError):
    """Tensors of several devices met."""


class Imagination(FakeTensorMode):
    """FakeTensorMode for programs that look at values, copy networks, and may not mix devices in any operation.

    ``waits`` has an entry each time the CPU waits for what a GPU has computed.
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
        # Single numbers may come from the CPU. torch's own check leaves out some operations, such as fused optimisers.
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
            args, kwargs = tree_map_only(Tensor, self.imagined, (args, kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs)

    def imagined(self, tensor):
        """Without its numbers: a tensor that is older than the mode, or read from a file."""
        return tensor if isinstance(tensor, FakeTensor) else self.from_tensor(tensor)

    def __deepcopy__(self, memo):
        """The mode itself. Whoever copies a network copies what its tensors refer to, and that is the mode too.

        A real copy would have copies of its weak references to memory. Both are freed in the end, although torch has
        counted one, and the process dies of it some time later.
        """
        return self


def tensors_in(values):
    """All tensors in arguments or results, which may be nested."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)


class GPU:
    """What programs are given, and what is asked of their results."""

    def __init__(self, name, mode):
        self.device, self.mode = torch.device(name), mode

    @contextmanager
    def waits(self):
        """What the CPU waits for in this context."""
        self.mode.waits = []
        yield self.mode.waits

    def pair(self, scale, *batch, height=6, width=5):
        """LR and HR."""
        return tuple(torch.rand(*batch, 3, height * size, width * size, device=self.device) for size in (1, scale))

    def holds(self, *results):
        """Are there tensors in these results, and all of them here?"""
        return {tensor.device.type for tensor in tensors_in(results)} == {self.device.type}


def applied(module, function, recurse=True):
    """What ``Module.to`` does: torch's own cannot exchange the memory of these parameters, so they are made anew."""
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
    """Any image, or any counts, of a tensor that numpy could read."""
    if tensor.device.type != "cpu":
        raise WrongDeviceError("a GPU's memory cannot be read by numpy")
    numbers = np.random.default_rng(0).random(tuple(tensor.shape))
    kind = str(tensor.dtype).removeprefix("torch.")
    return (
        (255 * numbers).astype(np.uint8) if kind == "uint8" else numbers.astype(kind if "int" in kind else np.float32)
    )


def pytest_addoption(parser):
    parser.addoption("--device", choices=["imaginary", "cuda"], default="imaginary")


@pytest.fixture(scope="session")
def imagination(request):
    """The mode, and torch as the mode needs it."""
    if request.config.getoption("--device") == "imaginary":
        backend_registration._setup_privateuseone_for_python_backend("imaginary")
        torch.imaginary.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]  # torch 2.15 asks for it
    mode = Imagination()
    mode.waits = []

    def imagined(read):
        def from_file(path):
            with unset_fake_temporarily():
                numbers = read(path)
            return tree_map_only(Tensor, mode.imagined, numbers)

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
    """For programs that take gradients."""
    if gpu.device.type == "cuda":
        pytest.skip("torch asks the driver for its streams before it goes backwards")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def left_behind(gpu):
    """A context in which a network has one parameter or buffer, given by its name, on the CPU."""
    if gpu.device.type == "cuda":
        pytest.skip("seen on the imaginary device")

    @contextmanager
    def context(network, name):
        place, _, last = name.rpartition(".")
        layer = network.get_submodule(place)
        tensors = layer._parameters if last in layer._parameters else layer._buffers
        there = tensors[last]
        try:
            tensors[last] = there.cpu()
            yield network.train(network.training)  # which forgets what was kept from before
        finally:
            tensors[last] = there
            network.train(network.training)

    return context
