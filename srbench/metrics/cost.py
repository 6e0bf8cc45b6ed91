"""Costs of a model: parameters, operations, memory and time. ``--metrics cost`` selects all four.

Operations and memory are counted once, while the model upscales a probe image, so they do not depend on the machine;
time is measured in the run.
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
"""Side of the output for the probe image in pixels, or as near to it as the scale permits."""


@dataclass(frozen=True)
class ModelCall:
    """How an output was made."""

    model: Model
    temperature: float | None
    device: str
    seconds: float
    """Time of the model for one output."""


@dataclass(frozen=True)
class Probe:
    """Cost of one output of a model."""

    operations: float
    """Floating point operations (a multiply-add is two); NaN if they bypass torch."""
    tensors: float
    """Peak bytes of the tensors that it made; NaN if they bypass torch."""
    pixels: int
    """Number of pixels of the output."""


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of live tensors that operations made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.most, self.made = 0, 0, False
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        arguments = (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        given = {tensor.untyped_storage()._cdata for tensor in arguments}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage(), given)
        return result

    def _add(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        place = storage._cdata
        if place in self._known or place in given:  # a view, or the output argument of an in-place operation
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
    """Count the operations of oneDNN's convolution, which torch's counter does not know."""
    operations: int = 2 * math.prod(out_shape) * math.prod(weight[1:])
    return operations


CONVOLUTIONS = {torch.ops.aten.mkldnn_convolution: _convolution}
"""Formulas for operations that torch's counter does not know."""
Result = TypeVar("Result")
_KNOWN: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()


def probe(model: SRModel | StochasticSRModel, temperature: float | None, device: str) -> Probe:
    """Count the cost of one output of about PROBE x PROBE pixels, once per model and temperature."""
    return once(model, ("probe", temperature), lambda: _probe(model, temperature, device))


def once(model: object, key: Hashable, compute: Callable[[], Result]) -> Result:
    """Return ``compute()``, cached by model and key; not cached for a model that is not hashable."""
    known = _KNOWN.setdefault(model, {}) if type(model).__hash__ is not None else {}
    if key not in known:
        known[key] = compute()
    result: Result = known[key]
    return result


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
    """Count operations and peak bytes of one output for an LR image of ``size``; NaN if they bypass torch.

    ``counts`` are formulas for operations that torch's counter does not know.
    """
    # Imported here: it loads Triton, if installed, which prints warnings when a process ends.
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
    """Let a model upscale a random LR image of ``size`` (height, width) with the counters active.

    Counters see the work of this Python thread and of the torch threads that it uses.
    """
    lr = torch.rand((3, *size), generator=torch.Generator().manual_seed(0)).to(device)
    generator = torch.Generator().manual_seed(0)
    with ExitStack() as stack:
        for context in (torch.no_grad(), *counters):
            stack.enter_context(context)
        if isinstance(model, StochasticSRModel):
            model.sample(lr, 1, temperature=temperature or 0.0, generator=generator)
        else:
            model(lr[None])


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


class CostMetric:
    """Base of the costs; a subclass defines ``facts`` and ``_of``."""

    facts: MetricFacts

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """Raise MetricError: a cost is not measured on images."""
        raise MetricError(f"{pair.name}: {self.facts.title} measures models, not images; use srbench run")

    def of(self, model_call: ModelCall) -> float:
        """Return the cost of an output; NaN if unknown, as for precomputed results."""
        return math.nan if isinstance(model_call.model, PrecomputedResults) else self._of(model_call, model_call.model)

    def _of(self, model_call: ModelCall, model: SRModel | StochasticSRModel) -> float:
        raise NotImplementedError


FACTS = MetricFacts(name="", title="", protocol="", direction=0, group="Cost", sees="model", needs=(), per="image")
"""Facts that all costs share. They have no direction, because a cost says nothing about the quality of images."""


class Parameters(CostMetric):
    """Learned parameters of a model, in millions."""

    facts = replace(
        FACTS,
        name="parameters",
        title="params, M",
        unit="millions",
        digits=3,
        signature="v1",
        protocol="number of learned parameters, as stated by the weights or counted in the networks",
    )

    def _of(self, model_call: ModelCall, model: SRModel | StochasticSRModel) -> float:
        return parameters_of(model) / 1e6


class Operations(CostMetric):
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
            f"{PROBE} pixels a side, over its pixels: matrix products, convolutions and attention; a multiply-add counts "
            "as two operations"
        ),
    )

    def _of(self, model_call: ModelCall, model: SRModel | StochasticSRModel) -> float:
        counts = probe(model, model_call.temperature, model_call.device)
        return counts.operations / counts.pixels / 1e3


class Memory(CostMetric):
    """Peak memory of a model besides its parameters, in megabytes per million output pixels."""

    facts = replace(
        FACTS,
        name="memory",
        title="memory, MB/MP",
        unit="10^6 bytes per 10^6 pixels",
        digits=0,
        signature=f"probe{PROBE}|v1",
        protocol=(
            "peak bytes of the live tensors that torch makes while the model makes one output of "
            f"{PROBE} pixels a side, over its pixels; parameters and memory inside an operation are not counted"
        ),
    )

    def _of(self, model_call: ModelCall, model: SRModel | StochasticSRModel) -> float:
        counts = probe(model, model_call.temperature, model_call.device)
        return counts.tensors / counts.pixels


class Seconds(CostMetric):
    """Seconds of a model per output."""

    facts = replace(
        FACTS,
        name="seconds",
        title="seconds",
        unit="s",
        signature="v1",
        protocol=(
            "wall-clock time of the model per output, on the machine of the run: time of all samples over their number"
        ),
    )

    def _of(self, model_call: ModelCall, model: SRModel | StochasticSRModel) -> float:
        return model_call.seconds
