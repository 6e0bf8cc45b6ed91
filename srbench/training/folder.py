"""The folder of a training (docs/training.md lists its files); all but the two journals are written atomically."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from filelock import FileLock, Timeout
from msgspec import to_builtins

from srbench.files.atomic import disk_faults_named, replaced_whole, write_whole
from srbench.files.config import to_toml
from srbench.interfaces import Metric
from srbench.training import TrainingError
from srbench.training.config import TrainingPreset
from srbench.training.request import TrainingRequest
from srbench.weights.files import CHECKPOINT, TRAINING, save_weights
from srbench.weights.metadata import WeightsMetadata, read_training
from srbench.words import one_line

PRESET = "preset.toml"
BEST = "best.safetensors"
LOCK = "training.lock"
LOSSES = "train.csv"
METRICS = "validation.csv"
CURVE_POINTS = 40
"""Most points of a loss curve in the metadata of weights."""


class Counts:
    """Plain attributes that a checkpoint saves."""

    def state_dict(self) -> dict[str, Any]:
        """All attributes by name."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Restore them."""
        vars(self).update(state)


State = dict[str, torch.nn.Module | torch.optim.Optimizer | Counts]
"""Everything that a checkpoint saves, by name."""


class Journal:
    """A growing CSV file of numbers with a column ``step``; the first line's values name the columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line with the columns of the first line; a column without a value gets NaN.

        The line survives the end of the process, but perhaps not a power failure; a resumed training writes the lines
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
        """All lines, without a last line that a kill has cut off."""
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(self._lines())]

    def cut(self, end: int) -> None:
        """Drop the lines of the steps from ``end`` on."""
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
    """A training on disk. Only one process may write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses = Journal(path / LOSSES)
        self.metrics = Journal(path / METRICS)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder, and lock it against other trainings.

        Inside, the error of a full disk names the folder. Raises TrainingError if another process trains in it, it
        cannot be written, or it holds other files.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            known = {PRESET, LOCK}  # left by a training that was killed at once
            others = [entry.name for entry in self.path.iterdir() if entry.name not in known and entry.name[0] != "."]
            if others and not (self.path / TRAINING).exists():
                raise TrainingError(
                    f"{self.path}: not empty, and no training in it ({min(others)} is); choose another --out"
                )
            held = FileLock(self.path / LOCK).acquire(timeout=0)
        except Timeout:
            raise TrainingError(
                f"{self.path}: another process is training in it; wait for it, or choose another --out"
            ) from None
        except OSError as error:
            raise TrainingError(f"{self.path}: cannot be written ({error.strerror}); choose another --out") from None
        except NotImplementedError:
            raise TrainingError(
                f"{self.path}: its file system has no locks, without which two trainings could write at once; "
                "choose another --out"
            ) from None
        with held, disk_faults_named(self.path):
            yield

    def open(self, metadata: WeightsMetadata, preset: TrainingPreset, request: TrainingRequest) -> None:
        """Begin a training, or find the same training in the folder: equal metadata, settings and validation.

        Raises TrainingError if the folder holds another training.
        """
        self._metadata = replace(metadata, settings=to_builtins(preset))
        if not (self.path / TRAINING).exists():
            asked = {
                "data": [str(folder.resolve()) for folder in request.data],
                "lr": [str(folder.resolve()) for folder in request.lr],
                "validation": request.validation and str(request.validation.resolve()),
                "start": request.start and str(request.start.resolve()),
                "log_with": request.log_with,
            }
            description = {"facts": self._metadata.text(), "request": asked}
            write_whole(self.path / PRESET, to_toml(preset).encode())
            write_whole(self.path / TRAINING, json.dumps(description, indent=1).encode())
            return
        known, begun = read_training(self.path)
        self._metadata = replace(self._metadata, preset=known.preset)
        ours = _compared(self._metadata) | {"validation": request.validation and str(request.validation.resolve())}
        theirs = _compared(known) | {"validation": begun["validation"]}
        if differing := sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)):
            raise TrainingError(
                f"{self.path}: holds a training with other settings or data ({', '.join(differing)}); choose another "
                f"--out, or resume that one: srbench train --resume {self.path}"
            )

    def save(self, state: State, step: int) -> None:
        """Write the checkpoint after ``step`` steps."""
        with replaced_whole(self.path / CHECKPOINT) as temporary, temporary.open("wb") as file:
            torch.save({"step": step, **{name: part.state_dict() for name, part in state.items()}}, file)
            file.flush()
            os.fsync(file.fileno())

    def restore(self, state: State, steps: int) -> int:
        """Read the checkpoint into ``state``; returns the number of steps done, 0 without a checkpoint.

        Raises TrainingError for the checkpoint of another training, or of a step that is not in 1 to ``steps``.
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
        except Exception as error:  # a damaged file can make torch raise anything
            reason = one_line(error)[:100]
            raise TrainingError(f"{path}: not a checkpoint of this training ({reason}); choose another --out") from None
        return step

    def forget_after(self, step: int) -> None:
        """Drop the losses and metrics of steps that will be repeated."""
        self.losses.cut(step)
        self.metrics.cut(step + 1)

    def save_weights(
        self, name: str, network: torch.nn.Module, storage: str, metrics: dict[str, float], step: int | None = None
    ) -> None:
        """Write the weights of a network as the file TRAINED or BEST, with all their metadata."""
        tensors = {key: value.to(getattr(torch, storage)).contiguous() for key, value in network.state_dict().items()}
        config = to_builtins(network.config)
        losses = _curves(self.losses.read())
        metadata = replace(self._metadata, config=config, losses=losses, metrics=metrics or None, step=step)
        save_weights(self.path / name, tensors, metadata.text())


def resumed(run: Path, device: str, metrics: tuple[Metric, ...]) -> tuple[str, TrainingRequest]:
    """The model of the training in the folder ``run``, and the request that resumes it.

    The preset is the copy in the folder, so that a version of srbench with other presets resumes it alike.
    Raises WeightsError if the folder holds no training.
    """
    facts, asked = read_training(run)
    request = TrainingRequest(
        preset=str(run / PRESET),
        data=tuple(map(Path, asked["data"])),
        out=run,
        lr=tuple(map(Path, asked["lr"])),
        validation=asked["validation"] and Path(asked["validation"]),
        start=asked["start"] and Path(asked["start"]),
        device=device,
        metrics=metrics,
        log_with=asked.get("log_with"),
    )
    return facts.model, request


def _curves(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Loss curves by name: means over equal parts of the steps with finite losses, to 4 digits."""
    curves: dict[str, list[float]] = {}
    for name in (name for name in (rows[0] if rows else {}) if name not in ("step", "learning_rate")):
        values = [row[name] for row in rows if math.isfinite(row[name])]
        parts = min(len(values), CURVE_POINTS)
        pieces = [values[k * len(values) // parts : (k + 1) * len(values) // parts] for k in range(parts)]
        curves[name] = [float(f"{fmean(piece):.4g}") for piece in pieces]
    return curves


def _compared(metadata: WeightsMetadata) -> dict[str, Any]:
    """Facts and settings by name, settings as ``--set`` names them."""
    facts = metadata.text()
    facts.pop("trained_on", None)  # follows from the rest
    settings = json.loads(facts.pop("settings", "{}"))
    return facts | _flat(settings)


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return flat
