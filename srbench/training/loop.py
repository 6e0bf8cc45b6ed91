"""The training loop that every model shares: random patches, one readable loop, checkpoints, exact resume.

Whatever is random at a step is drawn from a generator seeded with the step, so nothing but the networks and their
optimisers has to be restored: a resumed training repeats an uninterrupted one exactly.
"""

from __future__ import annotations

import json
import math
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol, TypeVar

import cattrs
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from srbench.images import write_whole
from srbench.training.patches import Patches
from srbench.types import SRBenchError
from srbench.weights.files import save_weights

Network = TypeVar("Network", bound=torch.nn.Module)

CURVE_POINTS = 40
"""Of how many points at most the curve of a loss consists that weights carry."""
PATIENCE = 10
"""Steps in a row whose loss or gradient may be infinite (they are skipped) before the training stops."""


class TrainingError(SRBenchError):
    """Data that cannot be trained on, or a training that broke down."""


@dataclass(frozen=True)
class TrainingConfig:
    """The part of a preset that every training has."""

    steps: int
    batch: int
    """Patches a step, of all processes together."""
    patch: int
    """Side of an HR patch in pixels, a multiple of the scale."""
    learning_rate: float
    betas: tuple[float, float]
    """Of Adam."""
    milestones: tuple[float, ...]
    """Fractions of the training after which the learning rate halves."""
    max_grad_norm: float
    """Longer gradients are shortened to this."""
    checkpoint_every: int
    seed: int

    def learning_rate_at(self, step: int) -> float:
        """Halved at every milestone passed."""
        return float(self.learning_rate * 0.5 ** sum(step >= m * self.steps for m in self.milestones))


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """All that has to be saved."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:  # noqa: ANN401 - networks and optimisers differ
        """Restore it."""
        ...


def fit(
    out: Path,
    config: TrainingConfig,
    accelerator: Accelerator,
    state: Mapping[str, Stateful],
    take_step: Callable[[int], dict[str, float]],
) -> None:
    """Run ``take_step(step)`` for every step that is not done yet, with progress, losses.jsonl and checkpoints.

    ``take_step`` does all of one step, the optimiser's included, and returns its losses by name. ``state`` holds
    all that training changes. Killed at any moment, the same call goes on from the last checkpoint in ``out``.
    Raises TrainingError after PATIENCE steps in a row without a finite loss.
    """
    losses = out / "losses.jsonl"
    start = _restore(out, state)
    if accelerator.is_main_process:
        _truncate(losses, start)
    broken = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), disable=not accelerator.is_main_process) as progress:
        task = progress.add_task("training", total=config.steps, completed=start)
        for step in range(start, config.steps):
            values = take_step(step)
            broken = 0 if all(map(math.isfinite, values.values())) else broken + 1
            if broken == PATIENCE:
                raise TrainingError(
                    f"no finite loss in steps {step - PATIENCE + 1} to {step}; lower the learning rate of the preset"
                )
            if accelerator.is_main_process:
                with losses.open("a") as file:
                    file.write(json.dumps({"step": step, **values}) + "\n")
                progress.update(task, advance=1, description=" ".join(f"{k} {v:.4f}" for k, v in values.items()))
                if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
                    _save(out, state, step + 1)


def open_training(
    out: Path,
    model: str,
    preset: str,
    settings: object,
    config: TrainingConfig,
    patches: Patches,
    start: str = "",
) -> dict[str, str]:
    """Make the folder of a training, or find the same training in it; returns the weights' future metadata.

    Raises TrainingError where the folder cannot be written or holds another training.
    """
    description = {
        "model": model,
        "scale": str(patches.scale),
        "preset": preset,
        "licence": "not stated",
        "trained_on": f"{patches.origin}, {config.steps} steps of {config.batch} patches of {config.patch} pixels",
        "data": patches.fingerprint,
        "settings": json.dumps(cattrs.unstructure(settings)),
        "start": start,
    }
    path = out / "training.json"
    try:
        if not path.exists():
            write_whole(path, json.dumps(description, indent=1).encode())
    except OSError as error:
        raise TrainingError(f"{out}: cannot be written ({error.strerror}); choose another --out") from None
    if json.loads(path.read_text()) != description:
        raise TrainingError(f"{out}: holds a training with other settings or data; choose another --out")
    return description


def save_trained(
    out: Path,
    network: torch.nn.Module,
    config: object,
    description: dict[str, str],
    storage: str,
) -> Path:
    """Write the trained network as ``weights.safetensors`` with all that is known of it; returns the path.

    Its metadata carry the curves of the losses in losses.jsonl, as means of at most 40 equal parts.
    """
    path = out / "weights.safetensors"
    tensors = {name: value.to(getattr(torch, storage)).contiguous() for name, value in network.state_dict().items()}
    facts = {"config": json.dumps(cattrs.unstructure(config)), "losses": json.dumps(_curves(out))}
    save_weights(path, tensors, description | facts)
    return path


def clipped_step(
    accelerator: Accelerator, optimizer: torch.optim.Optimizer, parameters: list[Tensor], max_norm: float
) -> float:
    """Shorten the gradient to ``max_norm``, step unless it is infinite, clear it; returns its norm before."""
    norm = float(accelerator.clip_grad_norm_(parameters, max_norm))
    if math.isfinite(norm):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def channels_last(network: Network) -> Network:
    """Lay a network's weights out for convolutions over channels-last pictures: 1.5 times as fast on a CPU."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """For all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def _save(out: Path, state: Mapping[str, Stateful], step: int) -> None:
    buffer = BytesIO()
    torch.save({"step": step, **{name: part.state_dict() for name, part in state.items()}}, buffer)
    write_whole(out / "checkpoint.pt", buffer.getvalue())


def _restore(out: Path, state: Mapping[str, Stateful]) -> int:
    path = out / "checkpoint.pt"
    if not path.exists():
        return 0
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in state.items():
            part.load_state_dict(saved[name])
    except (RuntimeError, KeyError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        reason = type(error).__name__
        raise TrainingError(f"{path}: not a checkpoint of this training ({reason}); choose another --out") from None
    return int(saved["step"])


def _curves(out: Path) -> dict[str, list[float]]:
    """By name of a loss: means over equal parts of all steps with a finite one, to 4 digits."""
    path = out / "losses.jsonl"
    steps = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    curves: dict[str, list[float]] = {}
    for name in (name for name in (steps[0] if steps else {}) if name != "step"):
        values = [step[name] for step in steps if math.isfinite(step[name])]
        parts = min(len(values), CURVE_POINTS)
        pieces = [values[k * len(values) // parts : (k + 1) * len(values) // parts] for k in range(parts)]
        curves[name] = [float(f"{fmean(piece):.4g}") for piece in pieces]
    return curves


def _truncate(losses: Path, start: int) -> None:
    """Forget the losses of steps that will be taken again."""
    lines = losses.read_text().splitlines() if losses.exists() else []
    write_whole(losses, "".join(line + "\n" for line in lines[:start]).encode())
