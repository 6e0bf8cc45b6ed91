"""Costs of a model as columns of the table: parameters, operations, memory and time. ``cost`` names all four.

Operations and memory are counted once, while the model upscales a probe, so they do not depend on the machine; time is
measured in the run.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeGuard, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from srbench.interfaces import (
    ImagePair,
    MetricFacts,
    Model,
    PrecomputedResults,
    SRModel,
    StochasticSRModel,
    Weighted,
    WeightsInfo,
)
from srbench.metrics import MetricError

PROBE = 256
"""Side of the output of the probe, in pixels, or as near to it as the scale allows."""


@dataclass(frozen=True)
class Making:
    """Circumstances in which an output was made."""

    model: Model
    temperature: float | None
    device: str
    seconds: float
    """Seconds of the model for one output."""


@dataclass(frozen=True)
class Probe:
    """Cost of one output of a model."""

    operations: float
    """Floating point operations, a multiplication and an addition being two; NaN if torch does not see them."""
    tensors: float
    """Peak bytes of the tensors that it made; NaN if torch does not see them."""
    pixels: int
    """Pixels of the output."""


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counter of the bytes of live tensors made by operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.most, self.made = 0, 0, False
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        given = {one.untyped_storage()._cdata for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage(), given)
        return result

    def _add(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        place = storage._cdata
        if place in self._known or place in given:  # a view, or what an operation has written into
            return
        self._known.add(place)
        self.made = True
        self.now += (size := storage.nbytes())
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._remove, place, size)

    def _remove(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size


def _convolution(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:  # noqa: ANN401
    """Operations of oneDNN's own convolution, which torch's counter does not know, from its shapes."""
    operations: int = 2 * math.prod(out_shape) * math.prod(weight[1:])
    return operations


CONVOLUTIONS = {torch.ops.aten.mkldnn_convolution: _convolution}
"""Operations that torch's counter is to be told of."""
Found = TypeVar("Found")
_KNOWN: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()


def probe(model: SRModel | StochasticSRModel, temperature: float | None, device: str) -> Probe:
    """Count while a model makes one output of about PROBE pixels a side; once per model and temperature."""
    return once(model, ("probe", temperature), lambda: _probe(model, temperature, device))


def once(model: object, key: Hashable, find: Callable[[], Found]) -> Found:
    """Call ``find`` once per model and key; each time for a model that cannot be a key."""
    known = _KNOWN.setdefault(model, {}) if type(model).__hash__ is not None else {}
    if key not in known:
        known[key] = find()
    found: Found = known[key]
    return found


def _probe(model: SRModel | StochasticSRModel, temperature: float | None, device: str) -> Probe:
    side = max(PROBE // model.scale, 8)
    operations, tensors = counted(model, (side, side), temperature, device, CONVOLUTIONS)
    return Probe(operations, tensors, (side * model.scale) ** 2)


def counted(
    model: SRModel | StochasticSRModel,
    size: tuple[int, int],
    temperature: float | None,
    device: str,
    counts: dict[Any, Any],
) -> tuple[float, float]:
    """Operations and peak bytes of one output of an LR image of ``size``; NaN if torch does not see them.

    ``counts`` are operations that torch's counter is to be told of.
    """
    # It loads Triton, where that is installed, which complains of its own objects when a process ends.
    from torch.utils.flop_counter import FlopCounterMode

    counter, alive = FlopCounterMode(display=False, custom_mapping=counts), Alive()
    upscale_probe(model, size, temperature, device, alive, counter)
    return (float(counter.get_total_flops()), float(alive.most)) if alive.made else (math.nan, math.nan)


def upscale_probe(
    model: SRModel | StochasticSRModel,
    size: tuple[int, int],
    temperature: float | None,
    device: str,
    *counters: AbstractContextManager[object],
) -> None:
    """Let a model make one output of an LR image of ``size``, height and width, while the counters are looking.

    The counters see what this thread of Python does, and all of torch's threads that work for it.
    """
    lr = torch.rand((3, *size), generator=torch.Generator().manual_seed(0)).to(device)
    generator = torch.Generator().manual_seed(0)
    with ExitStack() as stack:
        for one in (torch.no_grad(), *counters):
            stack.enter_context(one)
        if isinstance(model, StochasticSRModel):
            model.sample(lr, 1, temperature=temperature or 0.0, generator=generator)
        else:
            model(lr[None])


def parameters_of(model: object) -> float:
    """Number of learned parameters; NaN if the model does not state it, 0 if it holds no network."""
    if _states(model):
        return math.nan if model.weights.parameters is None else float(model.weights.parameters)
    if isinstance(model, nn.Module):
        return float(sum(one.numel() for one in model.parameters()))
    parts = list(_parts(vars(model).values() if hasattr(model, "__dict__") else ()))
    stated = {id(one): parameters_of(one) for one in parts if not isinstance(one, nn.Module) or _states(one)}
    networks = (one for one in parts if id(one) not in stated)
    learned = {id(one): one.numel() for network in networks for one in network.parameters()}
    return float(sum(stated.values()) + sum(learned.values()))


def _states(part: object) -> TypeGuard[Weighted]:
    return isinstance(part, Weighted) and isinstance(part.weights, WeightsInfo)


def _parts(values: Iterable[object]) -> Iterator[Any]:
    """Networks and models that state their weights among some values, also in lists, tuples and dictionaries."""
    for one in values:
        if isinstance(one, nn.Module) or _states(one):
            yield one
        elif isinstance(one, list | tuple):
            yield from _parts(one)
        elif isinstance(one, dict):
            yield from _parts(one.values())


class Cost:
    """Base of all costs, which differ in their facts and in ``_of``."""

    facts: MetricFacts

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """Raise MetricError: images do not show what they cost."""
        raise MetricError(f"{pair.name}: {self.facts.title} measures models, not images; use srbench run")

    def of(self, making: Making) -> float:
        """Cost of an output; NaN if it is unknown, as for results made elsewhere."""
        return math.nan if isinstance(making.model, PrecomputedResults) else self._of(making, making.model)

    def _of(self, making: Making, model: SRModel | StochasticSRModel) -> float:
        raise NotImplementedError


FACTS = MetricFacts(name="", title="", protocol="", direction=0, group="Cost", sees="model", needs=(), per="image")
"""Facts of all; they have no direction, as a cost is no merit of the images."""


class Parameters(Cost):
    """Learned parameters of a model, in millions."""

    facts = replace(
        FACTS,
        name="parameters",
        title="params, M",
        unit="millions",
        digits=3,
        signature="v1",
        protocol="numbers that the model has learned, as its weights say or as its networks have them",
    )

    def _of(self, making: Making, model: SRModel | StochasticSRModel) -> float:
        return parameters_of(model) / 1e6


class Operations(Cost):
    """Billions of floating point operations per million output pixels."""

    facts = replace(
        FACTS,
        name="gflops",
        title="GFLOP/MP",
        unit="10^9 operations per 10^6 pixels",
        digits=0,
        signature=f"probe{PROBE}|v1",
        protocol=(
            "operations that torch's counter (torch.utils.flop_counter) sees while the model makes one output of "
            f"{PROBE} pixels a side, over its pixels: matrix products, convolutions and attention, a multiplication "
            "and an addition being two"
        ),
    )

    def _of(self, making: Making, model: SRModel | StochasticSRModel) -> float:
        found = probe(model, making.temperature, making.device)
        return found.operations / found.pixels / 1e3


class Memory(Cost):
    """Peak memory of a model besides its parameters, in megabytes per million output pixels."""

    facts = replace(
        FACTS,
        name="memory",
        title="memory, MB/MP",
        unit="10^6 bytes per 10^6 pixels",
        digits=0,
        signature=f"probe{PROBE}|v1",
        protocol=(
            "bytes of the tensors alive at once, at most, that torch makes while the model makes one output of "
            f"{PROBE} pixels a side, over its pixels; parameters and what libraries hold inside an operation are not "
            "counted"
        ),
    )

    def _of(self, making: Making, model: SRModel | StochasticSRModel) -> float:
        found = probe(model, making.temperature, making.device)
        return found.tensors / found.pixels


class Seconds(Cost):
    """Seconds of a model per output."""

    facts = replace(
        FACTS,
        name="seconds",
        title="seconds",
        unit="s",
        signature="v1",
        protocol=(
            "wall clock of the model for one output, on the machine of the run, all samples' time over their number"
        ),
    )

    def _of(self, making: Making, model: SRModel | StochasticSRModel) -> float:
        return making.seconds
