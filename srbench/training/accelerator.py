"""Accelerate for a training: the device, the processes and the tracker that were asked for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator

from srbench.training import TrainingError
from srbench.words import one_line


def accelerator_on(device: str, log_with: str | None, folder: Path) -> tuple[Accelerator, torch.device]:
    """The Accelerator, and the device of this process: ``cpu``, ``cuda``, ``mps``, or one GPU such as ``cuda:1``.

    With several processes, ``cuda`` gives each its own GPU. TensorBoard writes into ``folder``. Raises
    TrainingError if the device or the package of the tracker is missing.
    """
    if log_with is not None and find_spec(log_with) is None:
        raise TrainingError(f"--log-with {log_with} needs the package {log_with}; pip install {log_with}")
    try:
        asked = torch.device(device)
    except RuntimeError:
        raise TrainingError(f"device {device!r} is unknown; use cpu, cuda, mps, or one GPU such as cuda:1") from None
    accelerator = Accelerator(cpu=asked.type == "cpu", log_with=log_with, project_dir=folder / "tensorboard")
    own: torch.device = accelerator.device
    if own.type != asked.type:
        raise TrainingError(
            f"device {device} is not available here; use {own.type}, or a new process if this one has already trained"
        )
    if asked.index in (None, own.index):
        return accelerator, own
    if accelerator.num_processes > 1:
        raise TrainingError(f"device {device} is a single GPU; with several processes, name {asked.type}")
    try:
        torch.empty(1, device=asked)
    except RuntimeError as error:
        raise TrainingError(f"device {device} is not available here ({one_line(error)}); use {own.type}") from None
    return accelerator, asked
