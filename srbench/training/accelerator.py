"""Set-up of Accelerate for a training: device, processes and tracker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin, InitProcessGroupKwargs

from srbench.machine.trackers import require_tracker
from srbench.training import TrainingError
from srbench.words import one_line

LONGEST_WAIT = timedelta(hours=12)
"""Time after which a process gives up waiting for another: when a training starts, one process decodes all images."""


def accelerator_on(device: str, log_with: str | None, folder: Path) -> tuple[Accelerator, torch.device]:
    """Create the Accelerator; returns it and the device of this process.

    ``device`` is ``cpu``, ``cuda``, ``mps``, or a single GPU such as ``cuda:1``. With several processes, ``cuda`` gives
    each its own GPU. TensorBoard writes into ``folder``. Raises TrainingError if the device is missing, TrackerError if
    the tracker's package is.
    """
    if log_with is not None:
        require_tracker(log_with)
    try:
        requested = torch.device(device)
    except RuntimeError:
        raise TrainingError(
            f"device {device!r} is unknown; use cpu, cuda, mps, or a single GPU such as cuda:1"
        ) from None
    accelerator = Accelerator(
        # Stated, because environment variables would replace both defaults, and scale gradients unnoticed.
        mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        cpu=requested.type == "cpu",
        log_with=log_with,
        project_dir=folder / "tensorboard",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
    )
    default: torch.device = accelerator.device
    if default.type != requested.type:
        raise TrainingError(
            f"device {device} is not available here; use {default.type}, or a new process if this process has already "
            "trained"
        )
    if requested.index in (None, default.index):
        return accelerator, default
    if accelerator.num_processes > 1:
        raise TrainingError(f"device {device} is a single GPU; with several processes, name {requested.type}")
    try:
        torch.empty(1, device=requested)
    except RuntimeError as error:
        raise TrainingError(f"device {device} is not available here ({one_line(error)}); use {default.type}") from None
    return accelerator, requested
