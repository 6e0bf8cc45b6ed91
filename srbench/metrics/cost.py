"""Costs of a model: parameters, and multiply-adds, memory and time for an image of a stated size. ``--metrics cost``:
all.

multiply_adds               of an output of 256x256 pixels
runtime+lr=640x480          for an LR image of 640x480
memory+out=1280x720         for an output of 1280x720, as tables of lightweight networks have it
"""

from __future__ import annotations

import copy
import re
import statistics
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeGuard
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from srbench.interfaces import (
    MetricInfo,
    Model,
    ModelCall,
    ModelMetric,
    PrecomputedResults,
    StochasticSRModel,
    Weighted,
    WeightsInfo,
)
from srbench.machine.usage import operation_counter, usage_on
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
class StatedSize:
    """Size of an image as typed: ``256x256`` of LR, or ``1280x720`` of the output."""

    width: int
    height: int
    is_output: bool

    @classmethod
    def read(cls, lr: str, out: str) -> StatedSize:
        """Parse the size of LR, or else of the output. Raises MetricError for an invalid size,
        and if both are given.
        """
        if lr and out:
            raise MetricError("lr and out are given; state the size of LR or of the output")
        text = lr or out or OUTPUT
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
        if match is None or not int(match[1]) or not int(match[2]):
            raise MetricError(f"size is {text!r}; give width x height in pixels, such as 256x256")
        return cls(int(match[1]), int(match[2]), not lr)

    def of_lr(self, scale: int) -> tuple[int, int]:
        """Return height and width of LR, rounded to whole pixels."""
        factor = scale if self.is_output else 1
        return max(round(self.height / factor), 1), max(round(self.width / factor), 1)

    def __str__(self) -> str:
        """Format as in a signature: ``lr256x256``."""
        return f"{'out' if self.is_output else 'lr'}{self.width}x{self.height}"


class _Cost(ModelMetric):
    """Base of the costs. They have no direction, because a cost says nothing about the quality of images."""

    def measure(self, call: ModelCall) -> float | None:
        """Return the cost of an output; None if it is unknown, as for precomputed results."""
        return None if isinstance(call.model, PrecomputedResults) else self._cost(call)

    @abstractmethod
    def _cost(self, call: ModelCall) -> float | None:
        """Return the cost of an output of a model that runs; None if it is unknown."""


class Parameters(_Cost):
    """Learned parameters of a model, in millions."""

    info = MetricInfo(
        name="parameters",
        title="params, M",
        direction=0,
        group="Cost",
        unit="millions",
        digits=3,
        signature="v1",
        protocol="number of learned parameters, as stated by the weights or counted in the networks",
    )

    def _cost(self, call: ModelCall) -> float | None:
        number = parameters_of(call.model)
        return None if number is None else number / 1e6


class _SizedCost(_Cost):
    """Base of the costs of an image of a stated size; {size} stands for it in the protocol."""

    def __init__(self, lr: str = "", out: str = "") -> None:
        self._size = size = StatedSize.read(lr, out)
        image = "an output" if size.is_output else "the output of an LR image"
        protocol = self.info.protocol.replace("{size}", f"{image} of {size.width}x{size.height} pixels")
        self.info = replace(self.info, signature=f"{size}|{self.info.signature}", protocol=protocol)


class MultiplyAdds(_SizedCost):
    """Multiply-adds of one output in billions."""

    info = MetricInfo(
        name="multiply_adds",
        title="multiply-adds, G",
        direction=0,
        group="Cost",
        unit="10^9",
        signature="v3",
        protocol="for {size}, by torch's counter (torch.utils.flop_counter): convolutions, matrix products and "
        "attention; a multiplication with its addition counts as one; on torch's meta device if the model runs there, "
        "so the same on every device",
    )

    def _cost(self, call: ModelCall) -> float | None:
        if _outside_torch(call):
            return None
        try:
            number = multiply_adds(replace(call, model=_on_meta_device(call.model), device="meta"), self._size)
        except Exception:  # meta tensors fail if a network reads values or names its device
            number = multiply_adds(call, self._size)
        return None if number is None else number / 1e9


class Memory(_SizedCost):
    """Peak memory of a model besides its parameters, in megabytes."""

    depends_on_machine = True  # a GPU allocates for an operation what a CPU does not
    info = MetricInfo(
        name="memory",
        title="memory, MB",
        direction=0,
        group="Cost",
        unit="10^6 bytes",
        digits=0,
        signature="v3",
        protocol="peak memory for {size}, without the parameters: on a GPU, what torch allocates; on a CPU, the "
        "bytes of the live tensors that torch makes, without memory inside an operation; after up to three warm-ups",
    )

    def _cost(self, call: ModelCall) -> float | None:
        if _outside_torch(call):
            return None
        _times(call, self._size, _WARM_UPS)  # what a model keeps from its first output is no memory of an output
        lr = _lr_image(call, self._size)
        if call.device.startswith("cuda"):
            with usage_on(call.device) as usage:
                _upscale(call, lr)
            return usage.allocated_bytes / 1e6
        with LiveTensors() as live:
            _upscale(call, lr)
        return live.most / 1e6 if live.most else None


class Runtime(_SizedCost):
    """Runtime of one output in milliseconds."""

    depends_on_machine = True
    info = MetricInfo(
        name="runtime",
        title="runtime, ms",
        direction=0,
        group="Cost",
        unit="ms",
        signature="v4",
        protocol="wall-clock time of the model for {size} on the machine of the run, LR and output on its device: "
        "median of up to five after up to three warm-ups, fewer of each after 10 s; on a CPU with one thread, ONNX and "
        "ncnn files with the threads of the process",
    )

    def _cost(self, call: ModelCall) -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if call.device == "cpu" else threads)  # whatever the number of worker processes
        try:
            _times(call, self._size, _WARM_UPS)
            return 1e3 * statistics.median(_times(call, self._size, _RUNS))
        finally:
            torch.set_num_threads(threads)


def parameters_of(model: object) -> int | None:
    """Return the number of learned parameters; None if the model does not state it, 0 if it has no network."""
    is_network = isinstance(model, nn.Module) or _states(model)
    learned: dict[int, int | None] = {}
    for part in [model] if is_network else _flat(getattr(model, "__dict__", {}).values()):
        if _states(part):
            learned[id(part)] = part.weights.parameters
        elif isinstance(part, nn.Module):
            learned |= {id(parameter): parameter.numel() for parameter in part.parameters()}
    numbers = [number for number in learned.values() if number is not None]
    return sum(numbers) if len(numbers) == len(learned) else None


def _states(part: object) -> TypeGuard[Weighted]:
    return isinstance(part, Weighted) and isinstance(part.weights, WeightsInfo)


def _flat(values: Iterable[object]) -> Iterator[object]:
    """Yield values, and those in nested lists, tuples and dictionaries."""
    for value in values:
        if isinstance(value, list | tuple | dict):
            yield from _flat(value.values() if isinstance(value, dict) else value)
        else:
            yield value


def _outside_torch(call: ModelCall) -> bool:
    """Return whether another library computes the model, as for ONNX and ncnn files."""
    return bool(getattr(getattr(call.model, "network", call.model), "outside_torch", False))


def multiply_adds(call: ModelCall, size: StatedSize) -> float | None:
    """Count the multiply-adds of one output where the model is; None if they bypass torch."""
    lr = _lr_image(call, size)
    counter = operation_counter()
    with _attention_as_products(), LiveTensors() as live, counter:
        _upscale(call, lr)
    return counter.get_total_flops() / 2 if live.most else None


@contextmanager
def _attention_as_products() -> Iterator[None]:
    """Let torch compute attention by matrix products, as on the meta device:
    its counter knows few of the fused kernels.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _on_meta_device(model: Model) -> Model:
    """Copy a model with its networks on the meta device, where computing takes neither time nor memory."""
    networks = [part for part in (model, *vars(model).values()) if isinstance(part, nn.Module)]
    parameters = {
        id(parameter): nn.Parameter(parameter.to("meta")) for network in networks for parameter in network.parameters()
    }
    buffers = {id(buffer): buffer.to("meta") for network in networks for buffer in network.buffers()}
    return copy.deepcopy(model, {**parameters, **buffers})


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of live tensors that operations made,
    in this Python thread and the torch threads that it uses.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        """Bytes at the peak; 0 if no operation made a tensor."""
        self._made = WeakSet[torch.UntypedStorage]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        passed, returned = (
            {leaf.untyped_storage() for leaf in tree_leaves(part) if isinstance(leaf, Tensor)}
            for part in ((args, kwargs), result)
        )
        self._made |= returned - passed  # without views, and without the output arguments of in-place operations
        self.most = max(self.most, sum(storage.nbytes() for storage in self._made))
        return result


def _times(call: ModelCall, size: StatedSize, most: int) -> list[float]:
    """Return the seconds of up to ``most`` outputs, of fewer if they take more than 10 s, without making LR."""
    times: list[float] = []
    while not times or (len(times) < most and sum(times) < _MOST_SECONDS):
        lr = _lr_image(call, size)
        with usage_on(call.device) as usage:
            _upscale(call, lr)
        times.append(usage.seconds)
    return times


def _lr_image(call: ModelCall, size: StatedSize) -> Tensor:
    """Return a random LR image (3, h, w) in [0, 1] on the device of the model."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand((3, *size.of_lr(call.model.scale)), generator=generator).to(call.device)


def _upscale(call: ModelCall, lr: Tensor) -> None:
    """Let a model upscale LR (3, h, w), which it may change."""
    with torch.no_grad():
        if isinstance(call.model, StochasticSRModel):
            generator = torch.Generator().manual_seed(0)
            call.model.sample(lr, 1, temperature=call.temperature or 0.0, generator=generator)
        elif not isinstance(call.model, PrecomputedResults):
            call.model(lr[None])
