"""Cost of a training, from three steps on noise: ``srbench train --dry-run``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from srbench.images.folders import images_below
from srbench.machine.usage import usage_on
from srbench.terminal.output import show
from srbench.training.config import TrainingConfig
from srbench.training.learner import Batch
from srbench.training.request import TrainingRequest
from srbench.training.step import TrainingState, take_step
from srbench.words import amount, number_of

TIMED = 2
"""Steps that are timed, after a first step whose operations are counted."""
ASSUMED_SPEED = 10e12
"""Floating-point operations per second assumed for a GPU."""


@dataclass(frozen=True)
class StepCost:
    """Cost of a training step in this process."""

    seconds: float
    operations: int
    """Floating-point operations. A multiply-add counts as two."""
    memory_mb: float | None
    """Peak memory of the GPU, or of the process, Python and torch included; None if unknown."""


def show_cost(
    model: str,
    scale: int,
    request: TrainingRequest,
    config: TrainingConfig,
    state: TrainingState,
    accelerator: Accelerator,
    device: torch.device,
) -> None:
    """Take three steps on noise and print their cost, and the time of the training. Raises TrainingError."""
    batch = noise(config.batch // accelerator.num_processes, scale, config, device)
    cost = measured_cost(lambda: take_step(batch, state, config, accelerator), device)
    parameters = sum(parameter.numel() for parameter in state.learners[0].network.parameters())
    network = f"{model}, preset {request.preset}, {parameters:,} parameters"
    text = "\n".join(_lines(cost, network, request, config, device, accelerator.num_processes))
    if accelerator.is_main_process:
        show(text)


def noise(patches: int, scale: int, config: TrainingConfig, device: torch.device) -> Batch:
    """A batch of uniform noise that stands in for images, numbered as the last step."""
    generator = torch.Generator().manual_seed(config.seed)
    sides = (config.patch // scale, config.patch)
    lr, hr = (torch.rand(patches, 3, side, side, generator=generator).to(device) for side in sides)
    return Batch(lr, hr, config.steps - 1, 0, config.seed)


def measured_cost(take_step: Callable[[], object], device: torch.device) -> StepCost:
    """Take three steps and measure them. Raises as the steps do."""
    with FlopCounterMode(display=False) as counter:
        # Counts by module are not needed, and their hooks fail if a backward pass calls modules.
        counter.mod_tracker.__exit__()
        take_step()
    with usage_on(str(device)) as usage:
        for _ in range(TIMED):
            take_step()
    return StepCost(usage.seconds / TIMED, counter.get_total_flops(), usage.peak_memory_mb)


def _lines(
    cost: StepCost, network: str, request: TrainingRequest, config: TrainingConfig, device: torch.device, processes: int
) -> Iterator[str]:
    batch = number_of(config.batch, "patch", "patches")
    part = number_of(config.batch // processes // config.accumulate, "patch", "patches")
    processor = f"{device}, {number_of(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else str(device)
    memory = "unknown" if cost.memory_mb is None else amount(cost.memory_mb * 2**20, "B")
    operations = cost.operations * processes
    elsewhere = _time(cost.operations * config.steps / ASSUMED_SPEED)

    yield f"model       {network}"
    for folder in (*request.data, *request.lr):
        yield f"data        {folder}, {number_of(len(images_below(folder)), 'image')}, not opened"
    if not request.data:
        yield "data        none named; add --data DIR"
    yield f"steps       {config.steps:,} of {batch}, {config.patch}x{config.patch} HR pixels"
    yield f"            {part} at a time: {number_of(processes, 'process', 'processes')}, accumulate {config.accumulate}"
    yield f"a step      {_time(cost.seconds)} here ({processor}), {amount(operations, 'FLOP')}"
    yield f"memory      {memory} at the peak of each process"
    yield f"all steps   about {_time(cost.seconds * config.steps)} here, {amount(operations * config.steps, 'FLOP')}"
    yield f"            about {elsewhere} at {amount(ASSUMED_SPEED, 'FLOP/s')}, assumed for a GPU"
    yield "            without validation and reading of images"
    yield f"Measured in {1 + TIMED} steps on noise, in which everything is trained. Nothing was written."


def _time(seconds: float) -> str:
    """Format with two significant digits: ``0.45 s``, ``8.2 min``, ``1,300 h``."""
    unit, size = next(((unit, size) for unit, size in (("h", 3600), ("min", 60)) if seconds >= size), ("s", 1))
    return f"{float(f'{seconds / size:.2g}'):,g} {unit}"
