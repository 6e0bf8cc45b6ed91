"""The folder of a training: what is trained, its losses and metrics, its checkpoint, its weights.

    preset.toml           the preset with all its values, changes included
    training.json         what is trained on what, and what was asked for
    train.csv             one line a step
    validation.csv        one line a validation
    loss.svg              curves of both
    validation.png        LR, outputs and HR of some images
    checkpoint.pt         where the training goes on: networks, optimisers, averages, counts
    best.safetensors      the weights with the best validation so far
    weights.safetensors   the weights at the end
    training.lock         held by the process that trains; the lock ends with its process

All files but the two that grow line by line are written whole.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import cattrs
import torch
from filelock import FileLock, Timeout

from srbench.images.io import replaced_whole, write_whole
from srbench.interfaces import TrainingRequest
from srbench.system.config import to_toml
from srbench.system.file_names import no_file, pipes_in
from srbench.training import TrainingError
from srbench.training.config import TrainingPreset
from srbench.training.journal import Journal
from srbench.weights.files import WeightsError, save_weights
from srbench.weights.metadata import WeightsMetadata, read_metadata

PRESET, DESCRIPTION, CHECKPOINT = "preset.toml", "training.json", "checkpoint.pt"
BEST, LOCK = "best.safetensors", "training.lock"
LOSSES, METRICS = "train.csv", "validation.csv"
CURVE_POINTS = 40
"""Of how many points at most the curve of a loss consists that weights carry."""


class Stateful(Protocol):
    """A network, an optimiser, or a count."""

    def state_dict(self) -> dict[str, Any]:
        """All that has to be saved."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:  # noqa: ANN401 - networks and optimisers differ
        """Restore it."""
        ...


class TrainingFolder:
    """One training on the disk. Only one process may write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses, self.metrics = Journal(path / LOSSES), Journal(path / METRICS)
        self._metadata: WeightsMetadata
        """What is known of the weights before they are trained."""

    def open(self, metadata: WeightsMetadata, preset: TrainingPreset, request: TrainingRequest) -> None:
        """Make the folder, or find the same training in it.

        Of the metadata of the weights all but the name of the preset make the training what it is.
        Raises TrainingError where the folder cannot be written or holds another training.
        """
        path = self.path / DESCRIPTION
        self._metadata = replace(metadata, settings=cattrs.unstructure(preset))
        try:
            known = _known(path)
            if known is None:
                write_whole(self.path / PRESET, to_toml(preset).encode())
                written = {"facts": self._metadata.text(), "request": _asked(request)}
                write_whole(path, json.dumps(written, indent=1).encode())
                return
        except OSError as error:
            reason = f"cannot be written ({error.strerror})"
            raise TrainingError(f"{self.path}: {reason}; choose another --out") from None
        self._metadata = replace(self._metadata, preset=known.preset)
        if differing := _differences(self._metadata, known):
            names = ", ".join(differing)
            raise TrainingError(
                f"{self.path}: holds a training with other settings or data ({names}); choose another --out, or go on "
                f"with that one: srbench train --resume {self.path}"
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who trains in the folder, which is made.

        Raises TrainingError where another process does, where it cannot be written, and where it holds other things.
        """
        lock = FileLock(self.path / LOCK)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            known = {PRESET, LOCK}  # left by a training that was killed at once
            others = [entry.name for entry in self.path.iterdir() if entry.name not in known and entry.name[0] != "."]
            if others and not (self.path / DESCRIPTION).exists():
                raise TrainingError(
                    f"{self.path}: not empty, and no training in it ({min(others)} is); choose another --out"
                )
            _refuse_pipes(self.path)
            lock.acquire(timeout=0)
        except Timeout:
            raise TrainingError(
                f"{self.path}: another process trains in it; wait for it, or choose another --out"
            ) from None
        except OSError as error:
            raise TrainingError(f"{self.path}: cannot be written ({error.strerror}); choose another --out") from None
        try:
            yield
        finally:
            lock.release()

    def save(self, state: Mapping[str, Stateful], step: int) -> None:
        """Write the checkpoint: ``step`` steps are done."""
        with replaced_whole(self.path / CHECKPOINT) as temporary, temporary.open("wb") as file:
            torch.save({"step": step, **{name: part.state_dict() for name, part in state.items()}}, file)
            file.flush()
            os.fsync(file.fileno())

    def restore(self, state: Mapping[str, Stateful], steps: int) -> int:
        """Read the checkpoint into ``state``; returns the steps done, 0 without a checkpoint.

        Raises TrainingError where it is of something else, or of a step that is none of the training's ``steps``.
        """
        path = self.path / CHECKPOINT
        if not path.exists():
            return 0
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            step = saved["step"]
            if type(step) is not int or not 1 <= step <= steps:
                raise ValueError(f"step {step!r} of {steps}")
            for name, part in state.items():
                part.load_state_dict(saved[name])
        except Exception as error:  # what the bytes of a damaged file make torch raise is not to be foreseen
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise TrainingError(f"{path}: not a checkpoint of this training ({reason}); choose another --out") from None
        return step

    def forget_after(self, step: int) -> None:
        """Drop the losses and metrics of steps that will be taken again."""
        self.losses.keep(lambda at: at < step)
        self.metrics.keep(lambda at: at <= step)

    def save_weights(
        self,
        name: str,
        network: torch.nn.Module,
        storage: str,
        metrics: dict[str, float] | None,
        step: int | None = None,
    ) -> None:
        """Write the weights of a network as TRAINED or BEST, with all that is known of them."""
        tensors = {key: value.to(getattr(torch, storage)).contiguous() for key, value in network.state_dict().items()}
        config, losses = cattrs.unstructure(network.config), _curves(self.losses.read())
        metadata = replace(self._metadata, config=config, losses=losses, metrics=metrics, step=step)
        save_weights(self.path / name, tensors, metadata.text())


def read_request(run: Path) -> tuple[str, dict[str, Any]]:
    """What the training in a folder is of (``srflow``), and what was asked for when it began.

    Raises TrainingError where the folder holds no training, or a pipe.
    """
    path = run / DESCRIPTION
    _refuse_pipes(run)
    try:
        saved = json.loads(path.read_text())
        return str(saved["facts"]["model"]), dict(saved["request"])
    except OSError:
        raise TrainingError(f"{run}: no folder of a training; name one that srbench train has made") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TrainingError(f"{path}: not written by srbench train; name another folder") from None


def _refuse_pipes(folder: Path) -> None:
    for path in pipes_in(folder):
        raise TrainingError(f"{path}: {no_file(path)}, not a file of a training; remove it")


def _known(path: Path) -> WeightsMetadata | None:
    if not path.exists():
        return None
    try:
        return read_metadata(json.loads(path.read_text())["facts"], path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, WeightsError):
        raise TrainingError(f"{path}: not written by srbench train; choose another --out") from None


def _curves(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """By name of a loss: means over equal parts of all steps with a finite one, to 4 digits."""
    curves: dict[str, list[float]] = {}
    for name in (name for name in (rows[0] if rows else {}) if name not in ("step", "learning_rate")):
        values = [row[name] for row in rows if math.isfinite(row[name])]
        parts = min(len(values), CURVE_POINTS)
        pieces = [values[k * len(values) // parts : (k + 1) * len(values) // parts] for k in range(parts)]
        curves[name] = [float(f"{fmean(piece):.4g}") for piece in pieces]
    return curves


def _asked(request: TrainingRequest) -> dict[str, Any]:
    """What has to be known to go on: paths that do not depend on the working folder."""
    return {
        "data": [str(folder.resolve()) for folder in request.data],
        "lr": [str(folder.resolve()) for folder in request.lr],
        "validation": None if request.validation is None else str(request.validation.resolve()),
        "start": None if request.start is None else str(request.start.resolve()),
        "tensorboard": request.tensorboard,
    }


def _differences(ours: WeightsMetadata, theirs: WeightsMetadata) -> list[str]:
    """Names of other facts, and of other settings, those as ``--set`` has them."""
    mine, other = _compared(ours), _compared(theirs)
    return sorted(key for key in mine.keys() | other.keys() if mine.get(key) != other.get(key))


def _compared(metadata: WeightsMetadata) -> dict[str, Any]:
    text = metadata.text()
    settings = _flat(json.loads(text.pop("settings", "{}")))
    text.pop("trained_on", None)  # it follows from the rest
    return text | settings


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return flat
