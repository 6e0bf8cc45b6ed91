"""The request that ``srbench train`` passes to a trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from srbench.interfaces import ImageMetric


@dataclass(frozen=True)
class TrainingRequest:
    """The options of ``srbench train NAME``."""

    preset: str | Mapping[str, Any]
    """Name of a preset of the model, a TOML file, or the settings of a training that is resumed."""
    data: tuple[Path, ...]
    out: Path
    """Training folder; an existing training in it is resumed."""
    changes: tuple[str, ...] = ()
    """Changes to the preset, as typed: ``training.learning_rate=1e-4``."""
    lr: tuple[Path, ...] = ()
    """Folders of LR images, paired with HR by name; if empty, HR is downscaled."""
    validation: Path | None = None
    """Folder of HR images for validation; None uses images of the data, held out if there are ten or more."""
    start: Path | None = None
    """A weights file, the folder of a training, or a name of installed weights (``training.start.find_start``)."""
    device: str = "cpu"
    """``cpu``, ``cuda``, ``mps``, or a single GPU such as ``cuda:1``."""
    metrics: tuple[ImageMetric, ...] = ()
    """Validation metrics; the preset names the metric that selects the best weights."""
    dry_run: bool = False
    """Only take steps on noise and print their cost: nothing is written, and neither images nor initial weights are
    needed."""
    log_with: str | None = None
    """Tracker that also receives losses and metrics: a name of ``machine.trackers``, if installed."""


class Trainer(Protocol):
    """The function behind ``srbench train NAME``."""

    def __call__(self, request: TrainingRequest) -> Path:
        """Train or resume, and return the weights file; for ``dry_run``, only print the cost.

        Raises SRBenchError for unusable input.
        """
