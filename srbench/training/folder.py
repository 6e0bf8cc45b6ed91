"""The folder of a training (docs/training.md lists its files). All files but the two logs are written atomically."""

from __future__ import annotations

import csv
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from msgspec import to_builtins
from torch import Tensor

from srbench.files.atomic import disk_faults_named, replaced_whole, write_whole
from srbench.files.config import to_toml
from srbench.files.hashes import sha256_file
from srbench.images.io import encode_png
from srbench.interfaces import ImageMetric
from srbench.machine.memory import out_of_memory
from srbench.training import TrainingError
from srbench.training.config import TrainingPreset
from srbench.training.curves import curves, loss_names, thinned
from srbench.training.request import TrainingRequest
from srbench.training.start import Start
from srbench.weights.files import CHECKPOINT, TRAINING, is_training_checkpoint, save_weights
from srbench.weights.metadata import WeightsMetadata, read_training
from srbench.words import one_line

PRESET = "preset.toml"
BEST = "best.safetensors"
NUMBERED = "weights-{:06}.safetensors"
"""Weights file of a step in the middle of a training."""
IMAGES = "images.txt"
"""SHA-256 of the size and pixels of every HR image that is trained on, decoded and not cropped, and its name."""
LOCK = "training.lock"
LOSSES = "train.csv"
METRICS = "validation.csv"
CURVE_POINTS = 40
"""Largest number of points of a loss curve in the metadata of weights."""


class SavedState:
    """Plain attributes that a checkpoint saves."""

    def state_dict(self) -> dict[str, Any]:
        """All attributes by name."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Restore all attributes."""
        vars(self).update(state)


State = dict[str, torch.nn.Module | torch.optim.Optimizer | SavedState]
"""Everything that a checkpoint saves, by name."""


class TrainingLog:
    """A growing CSV file of numbers with a column ``step``; the values of the first line determine the columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line with the columns of the first line; a column without a value gets NaN.

        The line survives a kill of the process but may not survive a power failure; a resumed training writes the lines
        after its checkpoint again.
        """
        if not self._columns:
            header = self._lines()[:1]
            self._columns = header[0].strip().split(",") if header else ["step", *values]
        with self.path.open("a") as file:
            writer = csv.DictWriter(file, self._columns, "nan", extrasaction="ignore", lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow({"step": step, **values})

    def read(self) -> list[dict[str, float]]:
        """Read all lines, except a last line that a kill has truncated."""
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(self._lines())]

    def cut(self, end: int) -> None:
        """Drop the lines from step ``end`` on."""
        header, *lines = self._lines() or [""]
        if header:
            kept = [line for line in lines if int(line.partition(",")[0]) < end]
            write_whole(self.path, "".join([header, *kept]).encode())
        else:
            self.path.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        text = self.path.read_text() if self.path.exists() else ""
        return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


class TrainingFolder:
    """A training on disk. Only a single process may write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses = TrainingLog(path / LOSSES)
        self.metrics = TrainingLog(path / METRICS)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Create the folder, and lock it against other trainings.

        Errors of a full disk name the folder while the context is open. Raises TrainingError if another process trains
        in the folder, it cannot be written, or it holds other files.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            ours = {PRESET, IMAGES, LOCK}  # left behind by a training that was killed at its start
            foreign = [entry.name for entry in self.path.iterdir() if entry.name not in ours and entry.name[0] != "."]
            if foreign and not (self.path / TRAINING).exists():
                raise TrainingError(f"{self.path}: holds {min(foreign)} but no training; choose another --out")
            lock = FileLock(self.path / LOCK).acquire(timeout=0)
        except Timeout:
            raise TrainingError(
                f"{self.path}: another process is training in this folder; wait for it, or choose another --out"
            ) from None
        except OSError as error:
            raise TrainingError(f"{self.path}: cannot be written ({error.strerror}); choose another --out") from None
        except NotImplementedError:
            raise TrainingError(
                f"{self.path}: its file system has no locks, so two trainings could write at once; choose another --out"
            ) from None
        with lock, disk_faults_named(self.path):
            yield

    def open(
        self,
        metadata: WeightsMetadata,
        preset: TrainingPreset,
        request: TrainingRequest,
        start: Start,
        images: Mapping[str, str],
    ) -> None:
        """Begin a training, unless the folder already holds it: a training of equal metadata, settings and validation.

        ``images`` are the SHA-256 of the pixels of all HR images by name. Raises TrainingError if the folder holds
        another training, naming the first difference.
        """
        self._metadata = replace(metadata, start=start.sha256, settings=to_builtins(preset))
        stored = {
            "data": [str(folder.resolve()) for folder in request.data],
            "lr": [str(folder.resolve()) for folder in request.lr],
            "validation": request.validation and str(request.validation.resolve()),
            "start": request.start and str(request.start.resolve()),
            "start_model": start.model,
            "log_with": request.log_with,
        }
        if not (self.path / TRAINING).exists():
            write_whole(self.path / PRESET, to_toml(preset).encode())
            lines = (f"{sha256}  {one_line(name)}\n" for name, sha256 in images.items())
            write_whole(self.path / IMAGES, "".join(lines).encode(errors="surrogateescape"))
            description = {"metadata": self._metadata.text(), "request": stored}
            write_whole(self.path / TRAINING, json.dumps(description, indent=1).encode())
            return
        existing, began = read_training(self.path)
        self._metadata = replace(self._metadata, preset=existing.preset)
        # What makes a training another one, as it began and as it is requested; settings are named as in --set.
        theirs, ours = (
            {
                "model": metadata.model,
                **_flat(json.loads(json.dumps(metadata.settings))),
                "--validation": asked["validation"],
                "--start": metadata.start,
                "data": metadata.data,
            }
            for metadata, asked in ((existing, began), (self._metadata, stored))
        )
        has_checkpoint = is_training_checkpoint(self.path / CHECKPOINT)
        # The checkpoint does not need the initial weights, and --resume asks for no other ones.
        if has_checkpoint and not isinstance(request.preset, Mapping):
            if request.start is not None and request.start.is_file():
                ours["--start"] = sha256_file(request.start)
            else:
                ours["--start"], theirs["--start"] = stored["start"], began["start"]
        differing = [name for name in ours | theirs if theirs.get(name) != ours.get(name)]
        if not differing:
            return
        first = differing[0]
        if first == "data":
            raise TrainingError(
                f"{', '.join(map(str, request.data))}: not the images that the training in {self.path} began with "
                f"({existing.trained_on}); restore them, or train on these in another --out"
            )
        resume = f", or resume it: srbench train --resume {self.path}" if has_checkpoint else ""
        raise TrainingError(
            f"{self.path}: holds another training: its {first} is {json.dumps(theirs.get(first))}, not "
            f"{json.dumps(ours.get(first))}; choose another --out{resume}"
        )

    def save(self, state: State, step: int) -> None:
        """Write the checkpoint after ``step`` steps."""
        with replaced_whole(self.path / CHECKPOINT) as temporary, temporary.open("wb") as file:
            torch.save({"step": step, **{name: part.state_dict() for name, part in state.items()}}, file)
            file.flush()
            os.fsync(file.fileno())

    def restore(self, state: State, steps: int) -> int:
        """Read the checkpoint into ``state``; returns the number of steps done, 0 without a checkpoint.

        Raises TrainingError if the checkpoint belongs to another training or its step is not in 1 to ``steps``.
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
        except Exception as error:  # on a damaged file torch may raise anything
            if out_of_memory(error):
                raise
            reason = one_line(error)[:100]
            raise TrainingError(f"{path}: not a checkpoint of this training ({reason}); choose another --out") from None
        return step

    def forget_after(self, step: int) -> None:
        """Drop the losses and metrics of the steps that will be repeated."""
        self.losses.cut(step)
        self.metrics.cut(step + 1 if step else 0)  # the initial weights are validated again

    def add_validation(self, step: int, metrics: Mapping[str, float], grid: Tensor, units: Mapping[str, str]) -> None:
        """Record the metrics and outputs after ``step`` steps, (3, H, W) uint8, and draw the curves so far.

        ``units`` are the metrics' units by name.
        """
        if metrics:
            self.metrics.append(step, metrics)
        write_whole(self.path / "validation.png", encode_png(grid))
        if step:
            self.draw_curves(units)

    def draw_curves(self, units: Mapping[str, str]) -> None:
        """Draw the curves of losses and metrics so far; ``units`` are the metrics' units by name."""
        write_whole(self.path / "loss.svg", curves(self.losses.read(), self.metrics.read(), units))

    def save_weights(
        self, name: str, network: torch.nn.Module, storage: str, metrics: dict[str, float], step: int | None = None
    ) -> None:
        """Write a network as the weights file ``name`` (TRAINED, BEST or NUMBERED), with all metadata."""
        dtype = getattr(torch, storage)
        state = network.state_dict().items()
        tensors = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state}
        config = to_builtins(network.config)
        losses = _curves(self.losses.read())
        metadata = replace(self._metadata, config=config, losses=losses, metrics=metrics or None, step=step)
        save_weights(self.path / name, tensors, metadata.text())


def resumed(run: Path, device: str, metrics: tuple[ImageMetric, ...]) -> tuple[str, TrainingRequest]:
    """The model of the training in the folder ``run``, and the request that resumes it with its settings.

    Warns if ``preset.toml`` was edited. Raises WeightsError if the folder holds no training, TrainingError if the
    folders of images are gone.
    """
    metadata, stored = read_training(run)
    settings = metadata.settings or {}
    copy = run / PRESET
    if copy.is_file() and copy.read_bytes() != to_toml(settings).encode():
        warnings.warn(
            f"{copy}: was edited, but a training keeps the settings that it began with; to use the edited ones, "
            f"srbench train {metadata.model} --preset {copy} --out ANOTHER",
            stacklevel=2,
        )
    request = TrainingRequest(
        preset=settings,
        data=tuple(map(Path, stored["data"])),
        out=run,
        lr=tuple(map(Path, stored["lr"])),
        validation=stored["validation"] and Path(stored["validation"]),
        start=stored["start"] and Path(stored["start"]),
        device=device,
        metrics=metrics,
        log_with=stored.get("log_with"),
    )
    for folder in (*request.data, *request.lr, *([request.validation] if request.validation else [])):
        if not folder.is_dir():
            raise TrainingError(
                f"{folder}: no such folder, and the training in {run} needs its images; restore it or, if it was "
                "moved, repeat the command that began the training, with the new folder"
            )
    return metadata.model, request


def _curves(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Loss curves by name, to 4 significant digits."""
    curves = {
        name: thinned([(row["step"], row[name]) for row in rows], CURVE_POINTS)
        for name in loss_names(rows[0] if rows else {})
    }
    return {name: [float(f"{value:.4g}") for _, value in points] for name, points in curves.items()}


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return flat
