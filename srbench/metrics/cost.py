"""Costs of a model: parameters, and multiply-adds, memory and time for an image of a stated size. ``--metrics cost``: all.

multiply_adds               of an output of 256x256 pixels
runtime+lr=640x480          for an LR image of 640x480
memory+out=1280x720         for an output of 1280x720, as tables of lightweight networks have it
"""

from __future__ import annotations

import copy
import math
import re
import statistics
import weakref
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from srbench.interfaces import (
    MetricInfo,
    ModelCall,
    ModelMetric,
    PrecomputedResults,
    SRModel,
    StochasticSRModel,
    Weighted,
    WeightsInfo,
)
from srbench.machine.usage import usage_on
from srbench.metrics import MetricError

OUTPUT = "256x256"
"""Default size of the output."""
_WARM_UPS = 3
"""Largest number of outputs before something is measured: the first loads and chooses kernels, code that compiles
itself may take another two, and the clock of a GPU rises with work."""
_RUNS = 5
"""Largest number of runtimes of which the median is taken."""
_MOST_SECONDS = 10.0
"""Total time after which an output is not repeated."""


@dataclass(frozen=True)
class Size:
    """Size of an image as typed: ``256x256`` of LR, or ``1280x720`` of the output."""

    width: int
    height: int
    is_output: bool

    @classmethod
    def read(cls, lr: str | int, out: str | int) -> Size:
        """Parse the size of LR, or else of the output. Raises MetricError for an invalid size, and if both are given."""
        if lr and out:
            raise MetricError("lr and out are given; state the size of LR or of the output")
        text = str(lr or out or OUTPUT)
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
        if match is None or not int(match[1]) or not int(match[2]):
            raise MetricError(f"size is {text!r}; give width x height in pixels, such as 256x256")
        return cls(int(match[1]), int(match[2]), not lr)

    def of_lr(self, scale: int) -> tuple[int, int]:
        """Return height and width of LR, rounded to whole pixels."""
        sides = (self.height, self.width)
        height, width = (max(round(side / scale), 1) for side in sides) if self.is_output else sides
        return height, width

    def __str__(self) -> str:
        """Format as in a signature: ``lr256x256``."""
        return f"{'out' if self.is_output else 'lr'}{self.width}x{self.height}"

    @property
    def sentence(self) -> str:
        """The size in words, for a protocol."""
        image = "an output" if self.is_output else "the output of an LR image"
        return f"{image} of {self.width}x{self.height} pixels"


class CostMetric(ModelMetric):
    """Base of the costs; a subclass defines ``info`` and ``cost``."""

    def of(self, call: ModelCall) -> float | None:
        """Return the cost of an output; None if it is unknown, as for precomputed results."""
        cost = math.nan if isinstance(call.model, PrecomputedResults) else self.cost(call.model, call)
        return None if math.isnan(cost) else cost

    @abstractmethod
    def cost(self, model: SRModel | StochasticSRModel, call: ModelCall) -> float:
        """Return the cost of an output of a model that runs; NaN if it is unknown."""


INFO = MetricInfo(name="", title="", protocol="", direction=0, group="Cost")
"""What all costs share. They have no direction, because a cost says nothing about the quality of images."""


class Parameters(CostMetric):
    """Learned parameters of a model, in millions."""

    info = replace(
        INFO,
        name="parameters",
        title="params, M",
        unit="millions",
        digits=3,
        signature="v1",
        protocol="number of learned parameters, as stated by the weights or counted in the networks",
    )

    def cost(self, model: SRModel | StochasticSRModel, call: ModelCall) -> float:
        """Return millions of parameters."""
        return parameters_of(model) / 1e6


class _SizedCost(CostMetric):
    """Base of the costs of an image of a stated size."""

    def __init__(self, lr: str | int = "", out: str | int = "") -> None:
        self._size = Size.read(lr, out)
        self.info = self._info()

    @abstractmethod
    def _info(self) -> MetricInfo: ...


class MultiplyAdds(_SizedCost):
    """Multiply-adds of one output in billions."""

    def _info(self) -> MetricInfo:
        return replace(
            INFO,
            name="multiply_adds",
            title="multiply-adds, G",
            unit="10^9",
            signature=f"{self._size}|v3",
            protocol=(
                f"for {self._size.sentence}, by torch's counter (torch.utils.flop_counter): convolutions, matrix products "
                "and attention; a multiplication with its addition counts as one; on torch's meta device if the model "
                "runs there, so the same on every device"
            ),
        )

    def cost(self, model: SRModel | StochasticSRModel, call: ModelCall) -> float:
        """Return billions of multiply-adds; NaN if they bypass torch."""
        return multiply_adds(model, call.temperature, call.device, self._size) / 1e9


class Memory(_SizedCost):
    """Peak memory of a model besides its parameters, in megabytes."""

    depends_on_machine = True  # a GPU allocates for an operation what a CPU does not

    def _info(self) -> MetricInfo:
        return replace(
            INFO,
            name="memory",
            title="memory, MB",
            unit="10^6 bytes",
            digits=0,
            signature=f"{self._size}|v3",
            protocol=(
                f"peak memory for {self._size.sentence}, without the parameters: on a GPU, what torch allocates; on a "
                "CPU, the bytes of the live tensors that torch makes, without memory inside an operation; after up to "
                "three warm-ups"
            ),
        )

    def cost(self, model: SRModel | StochasticSRModel, call: ModelCall) -> float:
        """Return megabytes; NaN if the tensors bypass torch."""
        return peak_bytes(model, call.temperature, call.device, self._size) / 1e6


class Runtime(_SizedCost):
    """Runtime of one output in milliseconds."""

    depends_on_machine = True

    def _info(self) -> MetricInfo:
        return replace(
            INFO,
            name="runtime",
            title="runtime, ms",
            unit="ms",
            signature=f"{self._size}|v4",
            protocol=(
                f"wall-clock time of the model for {self._size.sentence} on the machine of the run, LR and output on its "
                "device: median of up to five after up to three warm-ups, fewer of each after 10 s; on a CPU with one "
                "thread, ONNX files with the threads of the process"
            ),
        )

    def cost(self, model: SRModel | StochasticSRModel, call: ModelCall) -> float:
        """Return milliseconds."""
        return milliseconds(model, call.temperature, call.device, self._size)


def parameters_of(model: object) -> float:
    """Return the number of learned parameters; NaN if the model does not state it, 0 if it has no network."""
    if _states(model):
        return math.nan if model.weights.parameters is None else float(model.weights.parameters)
    if isinstance(model, nn.Module):
        return float(sum(parameter.numel() for parameter in model.parameters()))
    parts = list(_parts(vars(model).values() if hasattr(model, "__dict__") else ()))
    stated = {id(part): parameters_of(part) for part in parts if not isinstance(part, nn.Module) or _states(part)}
    networks = (part for part in parts if id(part) not in stated)
    learned = {id(parameter): parameter.numel() for network in networks for parameter in network.parameters()}
    return float(sum(stated.values()) + sum(learned.values()))


def _states(part: object) -> TypeGuard[Weighted]:
    return isinstance(part, Weighted) and isinstance(part.weights, WeightsInfo)


def _parts(values: Iterable[object]) -> Iterator[Any]:
    """Yield the networks, and the models that state their weights, among values and nested lists, tuples and dicts."""
    for value in values:
        if isinstance(value, nn.Module) or _states(value):
            yield value
        elif isinstance(value, list | tuple):
            yield from _parts(value)
        elif isinstance(value, dict):
            yield from _parts(value.values())


def multiply_adds(model: SRModel | StochasticSRModel, temperature: float | None, device: str, size: Size) -> float:
    """Count the multiply-adds of one output; NaN if they bypass torch."""
    if _outside_torch(model):
        return math.nan
    lr = size.of_lr(model.scale)
    with suppress(Exception):  # meta tensors fail if a network reads values or names its device
        return _counted(_on_meta_device(model), temperature, "meta", lr)
    return _counted(model, temperature, device, lr)


def _outside_torch(model: SRModel | StochasticSRModel) -> bool:
    """Return whether another library computes the model, as for ONNX files."""
    return bool(getattr(getattr(model, "network", model), "outside_torch", False))


def _counted(model: SRModel | StochasticSRModel, temperature: float | None, device: str, lr: tuple[int, int]) -> float:
    # Imported here: it loads Triton, if installed, which prints warnings when a process ends.
    from torch.utils.flop_counter import FlopCounterMode

    counter, live = FlopCounterMode(display=False, custom_mapping=CONVOLUTIONS), LiveTensors()
    _upscale(model, _lr_image(lr, device), temperature, _attention_as_products(), live, counter)
    return counter.get_total_flops() / 2 if live.made else math.nan


@contextmanager
def _attention_as_products() -> Iterator[None]:
    """Let torch compute attention by matrix products, as on the meta device: its counter knows few of the fused kernels."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _convolution(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:  # noqa: ANN401
    """Count the operations of oneDNN's convolution, which torch's counter does not know."""
    operations: int = 2 * math.prod(out_shape) * math.prod(weight[1:])
    return operations


CONVOLUTIONS = {torch.ops.aten.mkldnn_convolution: _convolution}
"""Formulas for operations that torch's counter does not know."""


def _on_meta_device(model: SRModel | StochasticSRModel) -> SRModel | StochasticSRModel:
    """Copy a model with its networks on the meta device, where computing takes neither time nor memory."""
    networks = [part for part in (model, *vars(model).values()) if isinstance(part, nn.Module)]
    parameters = {
        id(parameter): nn.Parameter(parameter.to("meta")) for network in networks for parameter in network.parameters()
    }
    buffers = {id(buffer): buffer.to("meta") for network in networks for buffer in network.buffers()}
    return copy.deepcopy(model, {**parameters, **buffers})


def peak_bytes(model: SRModel | StochasticSRModel, temperature: float | None, device: str, size: Size) -> float:
    """Return the peak memory of one output besides the parameters, in bytes; NaN if the tensors bypass torch."""
    if _outside_torch(model):
        return math.nan
    _times(
        model, temperature, device, size, _WARM_UPS
    )  # what a model keeps from its first output is no memory of an output
    lr = _lr_image(size.of_lr(model.scale), device)
    if device.startswith("cuda"):
        with usage_on(device) as usage:
            _upscale(model, lr, temperature)
        return float(usage.allocated_bytes)
    live = LiveTensors()
    _upscale(model, lr, temperature, live)
    return float(live.most) if live.made else math.nan


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of live tensors that operations made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.most, self.made = 0, 0, False
        self._storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        arguments = (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        passed = {tensor.untyped_storage()._cdata for tensor in arguments}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage(), passed)
        return result

    def _add(self, storage: torch.UntypedStorage, passed: set[int]) -> None:
        address = storage._cdata
        if address in self._storages or address in passed:  # a view, or the output argument of an in-place operation
            return
        self._storages.add(address)
        self.made = True
        self.now += (size := storage.nbytes())
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._remove, address, size)

    def _remove(self, address: int, size: int) -> None:
        self._storages.discard(address)
        self.now -= size


def milliseconds(model: SRModel | StochasticSRModel, temperature: float | None, device: str, size: Size) -> float:
    """Return the median time of five outputs after up to three warm-ups, or of fewer of each if they take more than 10 s.

    On a CPU, torch has one thread meanwhile, so that the time does not depend on the number of worker processes.
    """
    with _one_thread() if device == "cpu" else nullcontext():
        _times(model, temperature, device, size, _WARM_UPS)
        return 1e3 * statistics.median(_times(model, temperature, device, size, _RUNS))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute with one thread; the process has its threads back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _times(
    model: SRModel | StochasticSRModel, temperature: float | None, device: str, size: Size, most: int
) -> list[float]:
    """Return the seconds of up to ``most`` outputs, of fewer if they take more than 10 s, without making LR."""
    times: list[float] = []
    while not times or (len(times) < most and sum(times) < _MOST_SECONDS):
        lr = _lr_image(size.of_lr(model.scale), device)
        with usage_on(device) as usage:
            _upscale(model, lr, temperature)
        times.append(usage.seconds)
    return times


def _lr_image(size: tuple[int, int], device: str) -> Tensor:
    """Return a random LR image (3, height, width) in [0, 1] of ``size`` (height, width) on the device."""
    return torch.rand((3, *size), generator=torch.Generator().manual_seed(0)).to(device)


def _upscale(
    model: SRModel | StochasticSRModel,
    lr: Tensor,
    temperature: float | None,
    *counters: AbstractContextManager[object],
) -> None:
    """Let a model upscale LR (3, h, w), which it may change, with the counters active.

    Counters see the work of this Python thread and of the torch threads that it uses.
    """
    generator = torch.Generator().manual_seed(0)
    with ExitStack() as stack:
        for context in (torch.no_grad(), *counters):
            stack.enter_context(context)
        if isinstance(model, StochasticSRModel):
            model.sample(lr, 1, temperature=temperature or 0.0, generator=generator)
        else:
            model(lr[None])
