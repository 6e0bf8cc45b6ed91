"""Progress of a training, on stderr and in TensorBoard."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text
from torch import Tensor

from srbench.machine.memory import peak_memory_mb
from srbench.training import TrainingError
from srbench.training.config import TrainingConfig
from srbench.training.stopping import Request

_SECONDS = 30  # between lines if stderr is not a terminal


class View:
    """Losses, metrics, speed and memory: below a live bar in a terminal, as a line now and then elsewhere.

    Also writes TensorBoard logs into the folder ``board``, if given; they need the package tensorboard.
    """

    def __init__(self, config: TrainingConfig, start: int, device: str, board: Path | None, request: Request) -> None:
        self._config, self._step, self._start, self._device = config, start, start, device
        self._request = request
        self._values: dict[str, float] = {}
        self._metrics: dict[str, float] = {}
        self._board = None if board is None else _writer(board, start)
        self._console = Console(file=sys.stderr, soft_wrap=True)
        self._began = self._said = time.monotonic()
        elapsed = (TextColumn("elapsed"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = Progress(TextColumn("training"), BarColumn(), MofNCompleteColumn(), *elapsed, console=self._console)
        self._task = self._bar.add_task("training", total=config.steps, completed=start)
        size = f"{config.steps} steps of {config.batch} patches, {config.patch}x{config.patch} pixels"
        self._console.print(f"{size}. What to expect from so many steps: docs/training.md", highlight=False)
        self._live = Live(
            get_renderable=lambda: Group(self._bar, Text(self._facts())), console=self._console, refresh_per_second=2
        )
        if self._console.is_terminal:
            self._live.start()

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Show the losses of a step that is done."""
        self._step, self._values = step + 1, dict(values)
        self._bar.update(self._task, completed=step + 1)
        self._log("training", step, values)
        if not self._live.is_started and time.monotonic() - self._said > _SECONDS:
            self._say()

    def validated(self, step: int, metrics: Mapping[str, float], grid: Tensor) -> None:
        """Show new metrics, and log the validation image, (3, H, W) uint8."""
        self._metrics = {f"validation {name}": value for name, value in metrics.items()}
        self._log("validation", step, metrics)
        if self._board is not None:
            self._board.add_image("validation", grid, step)
            self._board.flush()

    def close(self) -> None:
        """Show the last step, and write all logs."""
        if self._live.is_started:
            self._live.stop()
        elif self._step > self._start:
            self._say()
        if self._board is not None:
            self._board.close()

    def _log(self, group: str, step: int, values: Mapping[str, float]) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, step)

    def _facts(self) -> str:
        speed = (self._step - self._start) * self._config.batch / max(time.monotonic() - self._began, 1e-9)
        facts = [f"{name} {value:.4g}" for name, value in (self._values | self._metrics).items()]
        facts.append(f"patches/s {speed:.3g}")
        memory = peak_memory_mb(self._device)
        if self._request.signal:
            facts.insert(0, "stopping after this step; repeat to stop at once")
        return ", ".join(facts if memory is None else [*facts, f"memory {memory:.0f} MB"])

    def _say(self) -> None:
        self._said = time.monotonic()
        line = f"step {self._step} of {self._config.steps}: {self._facts()}"
        self._console.print(line, markup=False, highlight=False)


def _writer(folder: Path, start: int) -> Any:  # noqa: ANN401 - an optional package
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError("--tensorboard needs the package tensorboard; pip install tensorboard") from None
    return SummaryWriter(str(folder), purge_step=start)
