"""What ``srbench train`` asks of a trainer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from srbench.interfaces import Metric


@dataclass(frozen=True)
class TrainingRequest:
    """The options of ``srbench train NAME``."""

    preset: str
    """Name of a preset of the model, or a TOML file."""
    data: tuple[Path, ...]
    out: Path
    """Training folder; an existing training in it is resumed."""
    changes: tuple[str, ...] = ()
    """Values that override the preset's, as typed: ``training.learning_rate=1e-4``."""
    lr: tuple[Path, ...] = ()
    """Folders of LR images, paired with HR by name; if empty, HR is downscaled."""
    validation: Path | None = None
    """Folder of HR images for validation; None uses some images of the data, held out if there are enough."""
    start: Path | None = None
    device: str = "cpu"
    """``cpu``, ``cuda``, ``mps``, or one GPU such as ``cuda:1``."""
    metrics: tuple[Metric, ...] = ()
    """Metrics of the validation; the preset names the one that selects the best weights."""
    dry_run: bool = False
    """Only estimate the cost: nothing is written, and neither images nor initial weights are needed."""
    log_with: str | None = None
    """Also send losses and metrics to a tracker: ``tensorboard``, ``wandb`` or ``trackio``, if it is installed."""


class Trainer(Protocol):
    """A training, for ``srbench train NAME``."""

    def __call__(self, request: TrainingRequest) -> Path:
        """Train or resume, return the weights file; only print the cost for ``dry_run``.

        Raises SRBenchError for unusable input.
        """
