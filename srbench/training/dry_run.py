"""Estimate of the cost of a training from steps of a few patches: ``srbench train --dry-run``."""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from srbench.images.folders import images_below
from srbench.training.config import TrainingConfig
from srbench.training.learner import Batch, Learner
from srbench.training.request import TrainingRequest
from srbench.words import number_of

FEW = 2
"""Patches of the first measured step; the second step has one more. ESRGAN's batch norm needs more than one patch."""
ASSUMED_SPEED = 10e12
"""Floating-point operations per second assumed for a GPU."""


@dataclass(frozen=True)
class StepCost:
    """Cost of a training step, as a fixed amount and an amount per patch."""

    parameters: int
    """Number of trained parameters of the network that becomes the weights file."""
    state_bytes: int
    """Size of all trained weights, their moving average, gradients and the state of the optimisers."""
    bytes: tuple[int, int]
    """Memory that is kept for the backward pass: fixed, and per patch."""
    operations: tuple[int, int]
    """Floating-point operations: fixed, and per patch. A multiply-add counts as two."""
    seconds_per_patch: float

    def memory(self, patches: int) -> int:
        """Bytes for a step whose largest part has this many patches."""
        return self.state_bytes + self.bytes[0] + patches * self.bytes[1]

    def operations_of(self, patches: int, parts: int = 1) -> int:
        """Floating-point operations of a step with this total number of patches, computed in ``parts``."""
        return parts * self.operations[0] + patches * self.operations[1]


def noise(patches: int, scale: int, config: TrainingConfig, device: torch.device) -> Batch:
    """A batch of uniform noise that stands in for images, numbered as the last step."""
    lr, hr = (torch.rand(patches, 3, side, side, device=device) for side in (config.patch // scale, config.patch))
    return Batch(lr, hr, config.steps - 1, 0, config.seed)


def measured_cost(take_step: Callable[[int], object], learners: Sequence[Learner], config: TrainingConfig) -> StepCost:
    """Measure the cost by three steps of a few patches: two are counted, the third is timed. Changes the networks."""
    memory: list[int] = []
    operations: list[int] = []
    for patches in (FEW, FEW + 1):
        saved = _SavedTensors(learners)
        with saved_tensors_hooks(saved.pack, saved.unpack), FlopCounterMode(display=False) as counter:
            # Counts by module are not needed, and their hooks fail if a backward pass calls modules.
            counter.mod_tracker.__exit__()
            take_step(patches)
        memory.append(saved.peak)
        operations.append(counter.get_total_flops())
    start = time.perf_counter()
    take_step(FEW)
    seconds = time.perf_counter() - start
    return StepCost(
        parameters=sum(parameter.numel() for parameter in learners[0].network.parameters()),
        state_bytes=_state_bytes(learners, config),
        bytes=_split(*memory),
        operations=_split(*operations),
        seconds_per_patch=seconds / FEW,
    )


def described(
    cost: StepCost, model: str, request: TrainingRequest, config: TrainingConfig, device: torch.device, processes: int
) -> str:
    """Describe a training and its cost, one fact per line."""
    return "\n".join(f"{name:<12}{value}" for name, value in _facts(cost, model, request, config, device, processes))


def _facts(
    cost: StepCost, model: str, request: TrainingRequest, config: TrainingConfig, device: torch.device, processes: int
) -> Iterator[tuple[str, str]]:
    parts = processes * config.accumulate
    in_part = config.batch // parts
    batch, share = (number_of(number, "patch", "patches") for number in (config.batch, in_part))
    step = cost.operations_of(config.batch, parts)
    total = step * config.steps
    rate = cost.operations_of(FEW) / (FEW * cost.seconds_per_patch)
    place = f"{device}, {number_of(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else str(device)

    yield "model", f"{model}, preset {request.preset}, {cost.parameters:,} parameters"
    for folder in (*request.data, *request.lr):
        yield "data", f"{folder}, {number_of(len(images_below(folder)), 'image')}, not opened"
    if not request.data:
        yield "data", "none named; add --data DIR"
    yield "steps", f"{config.steps:,} of {batch}, {config.patch}x{config.patch} HR pixels"
    yield "", f"{share} at a time: {number_of(processes, 'process', 'processes')}, accumulate {config.accumulate}"
    yield "memory", f"about {_amount(cost.memory(in_part), 'B')} for each process, and 0.4 GB for Python and torch"
    yield (
        "",
        f"weights, gradients and optimiser {_amount(cost.state_bytes, 'B')}, a patch {_amount(cost.bytes[1], 'B')}",
    )
    yield "operations", f"about {_amount(step, 'FLOP')} for a step, {_amount(total, 'FLOP')} in all"
    yield "time", f"about {_time(total / rate / processes)} here ({place}, {_amount(rate, 'FLOP/s')} for {FEW} patches)"
    yield (
        "",
        f"about {_time(total / ASSUMED_SPEED / processes)} at {_amount(ASSUMED_SPEED, 'FLOP/s')}, assumed for a GPU",
    )
    yield "", "without validation and reading of images"
    yield "All figures are estimates from three steps on a few patches of noise. Nothing was written.", ""


class _SavedTensors:
    """Counts the bytes that autograd keeps for backward passes, each storage once; parameters do not count."""

    def __init__(self, learners: Sequence[Learner]) -> None:
        networks = [learner.network for learner in learners]
        self._parameters = {_place(parameter) for network in networks for parameter in network.parameters()}
        self._uses: Counter[int] = Counter()
        self._bytes = 0
        self.peak = 0
        """Largest number of bytes at any time."""

    def pack(self, tensor: Tensor) -> object:
        """Wrap a tensor that autograd is about to keep, and count it."""
        kept = _Kept(tensor)
        place = _place(tensor)
        if place not in self._parameters:
            size = tensor.untyped_storage().nbytes()
            if not self._uses[place]:
                self._bytes += size
                self.peak = max(self.peak, self._bytes)
            self._uses[place] += 1
            weakref.finalize(kept, self._release, place, size)
        return kept

    def unpack(self, kept: object) -> Tensor:
        """Return the wrapped tensor."""
        assert isinstance(kept, _Kept)
        return kept.tensor

    def _release(self, place: int, size: int) -> None:
        self._uses[place] -= 1
        if not self._uses[place]:
            self._bytes -= size


@dataclass(eq=False)
class _Kept:
    tensor: Tensor


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _state_bytes(learners: Sequence[Learner], config: TrainingConfig) -> int:
    total = _bytes(_tensors(learners[0].network)) if config.average else 0
    for learner in learners:
        states = learner.optimizer.state_dict()["state"].values()
        total += _bytes(_tensors(learner.network)) + _bytes(learner.parameters())
        total += _bytes([value for state in states for value in state.values() if isinstance(value, Tensor)])
    return total


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _split(few: int, more: int) -> tuple[int, int]:
    """The fixed amount and the amount per patch, from the totals for FEW and for FEW + 1 patches."""
    return max(few - FEW * (more - few), 0), more - few


def _time(seconds: float) -> str:
    """Format with two significant digits: ``45 s``, ``8.2 min``, ``1,300 h``."""
    unit, size = next(((unit, size) for unit, size in (("h", 3600), ("min", 60)) if seconds >= size), ("s", 1))
    return f"{float(f'{seconds / size:.2g}'):,g} {unit}"


def _amount(value: float, unit: str) -> str:
    """Format with two significant digits and a decimal prefix: ``1.3 GB``."""
    prefixes = ["", "k", "M", "G", "T", "P", "E"]
    while value >= 999.5 and len(prefixes) > 1:
        value /= 1000
        del prefixes[0]
    digits = f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"
    return f"{digits} {prefixes[0]}{unit}"
