"""Cost of a training, from three steps on noise: ``srbench train --dry-run``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator

from srbench.images.folders import images_below
from srbench.machine.usage import operation_counter, usage_on
from srbench.terminal.output import show
from srbench.training import MemoryShortageError
from srbench.training.config import TrainingConfig, TrainingPreset
from srbench.training.image_store import sizes_of
from srbench.training.learner import Batch
from srbench.training.patches import usable_pairs
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
    preset: TrainingPreset,
    state: TrainingState,
    accelerator: Accelerator,
    device: torch.device,
) -> None:
    """Take three steps on noise and print their cost, and time and disk space of the training.

    Raises ImageError for a missing or empty folder; ImageError or TrainingError for pairs of unusable names or sizes.
    A single process that lacks memory tries smaller parts of a step, and measures the largest that fit. Several
    processes, which have to stay in step, raise MemoryShortageError.
    """
    config = preset.training
    parameters = sum(parameter.numel() for parameter in state.learners[0].network.parameters())
    lines = [*_request_lines(f"{model}, preset {request.preset}, {parameters:,} parameters", request, config)]
    if request.lr:
        hr, lr = sizes_of(request.data), sizes_of(request.lr)
        if hr.names and lr.names:
            usable_pairs(hr, lr, scale, config.patch)
    processes = accelerator.num_processes
    batch = noise(config.batch // processes, scale, config, device)

    def cost_in(parts: int) -> StepCost:
        tried = replace(config, grad_accumulation=parts)
        return measured_cost(lambda: take_step(batch, state, tried, accelerator), device)

    cost = None
    for parts in _smaller_parts(config, processes):
        try:
            cost = cost_in(parts)
            break
        except MemoryShortageError:
            if processes > 1:
                raise
    lines += _cost_lines(cost, config, parts, device, processes, _disk_space(state, preset))
    if accelerator.is_main_process:
        show("\n".join(lines))


def _disk_space(state: TrainingState, preset: TrainingPreset) -> str:
    """Describe the files that a training keeps: weights (numbered, best and last) and a checkpoint."""
    tensors = state.network.state_dict().values()
    size = getattr(torch, preset.storage).itemsize
    weights = sum(each.numel() * (size if each.is_floating_point() else each.itemsize) for each in tensors)
    files = len(preset.training.numbered_steps) + 2
    modules = (part for part in state.parts().values() if isinstance(part, torch.nn.Module))
    checkpoint = sum(tensor.nbytes for module in modules for tensor in module.state_dict().values())
    for learner in state.learners:
        values = (value for of_parameter in learner.optimizer.state.values() for value in of_parameter.values())
        checkpoint += sum(value.nbytes for value in values if isinstance(value, torch.Tensor))
    total = amount(files * weights + checkpoint, "B")
    return f"{total}: {files} weights files of {amount(weights, 'B')}, checkpoint of {amount(checkpoint, 'B')}"


def _smaller_parts(config: TrainingConfig, processes: int) -> list[int]:
    """Numbers of parts into which a process can split its share of a step: the preset's, then all larger ones."""
    share = config.batch // processes
    return [parts for parts in range(config.grad_accumulation, share + 1) if share % parts == 0]


def noise(patches: int, scale: int, config: TrainingConfig, device: torch.device) -> Batch:
    """A batch of uniform noise that stands in for images, numbered as the last step."""
    generator = torch.Generator().manual_seed(config.seed)
    sides = (config.patch // scale, config.patch)
    lr, hr = (torch.rand(patches, 3, side, side, generator=generator).to(device) for side in sides)
    return Batch(lr, hr, config.steps - 1, 0, config.seed)


def measured_cost(take_step: Callable[[], object], device: torch.device) -> StepCost:
    """Take three steps and measure them. Raises as the steps do."""
    with operation_counter() as counter:
        # Counts by module, which torch has no option to leave out, have hooks that fail if a backward pass calls
        # modules.
        counter.mod_tracker.__exit__()
        take_step()
    with usage_on(str(device)) as usage:
        for _ in range(TIMED):
            take_step()
    return StepCost(usage.seconds / TIMED, counter.get_total_flops(), usage.peak_memory_mb)


def _request_lines(network: str, request: TrainingRequest, config: TrainingConfig) -> Iterator[str]:
    yield f"model       {network}"
    for folder in (*request.data, *request.lr):
        yield f"data        {folder}, {number_of(len(images_below(folder)), 'image')}, not decoded"
    if not request.data:
        yield "data        none named; add --data DIR"
    if request.validation is not None:
        images = number_of(len(images_below(request.validation)), "image")
        yield f"validation  {request.validation}, {images}, not decoded"
    batch = number_of(config.batch, "patch", "patches")
    yield f"steps       {config.steps:,} of {batch}, {config.patch}x{config.patch} HR pixels"


def _cost_lines(
    cost: StepCost | None, config: TrainingConfig, parts: int, device: torch.device, processes: int, disk: str
) -> Iterator[str]:
    """Yield lines on the cost of a step in ``parts`` parts; the cost is None if even the smallest parts do not fit."""
    share = config.batch // processes
    part = number_of(share // parts, "patch", "patches")
    if cost is None:
        yield f"memory      not even {part} at a time fits into the memory of {device}; make training.patch smaller,"
        yield "            set reversible=true for srflow, or use another --device"
        yield "Nothing was written."
        return
    processor = f"{device}, {number_of(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else str(device)
    memory = "unknown" if cost.memory_mb is None else amount(cost.memory_mb * 2**20, "B")
    operations = cost.operations * processes
    elsewhere = _time(cost.operations * config.steps / ASSUMED_SPEED)

    yield f"            {part} at a time: {number_of(processes, 'process', 'processes')}, grad_accumulation {parts}"
    if parts != config.grad_accumulation:
        wanted = number_of(share // config.grad_accumulation, "patch", "patches")
        yield (
            f"            {wanted} at a time need more memory than {device} has; --set "
            f"training.grad_accumulation={parts}"
        )
    yield f"a step      {_time(cost.seconds)} here ({processor}), {amount(operations, 'FLOP')}"
    yield f"memory      {memory} at the peak of each process"
    yield f"disk        {disk}"
    yield f"all steps   about {_time(cost.seconds * config.steps)} here, {amount(operations * config.steps, 'FLOP')}"
    yield f"            about {elsewhere} at {amount(ASSUMED_SPEED, 'FLOP/s')}, assumed for a GPU"
    yield "            without validation and reading of images"
    yield f"Measured in {1 + TIMED} steps on noise, in which everything is trained. Nothing was written."


def _time(seconds: float) -> str:
    """Format with two significant digits: ``0.45 s``, ``8.2 min``, ``1,300 h``."""
    unit, size = next(((unit, size) for unit, size in (("h", 3600), ("min", 60)) if seconds >= size), ("s", 1))
    return f"{float(f'{seconds / size:.2g}'):,g} {unit}"
