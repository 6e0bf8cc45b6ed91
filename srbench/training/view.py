"""Progress of a training, on stderr and in TensorBoard."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text
from torch import Tensor

from srbench.system.memory import peak_memory_mb
from srbench.training import TrainingError
from srbench.training.config import TrainingConfig

_SECONDS = 30
"""Time between lines if stderr is not a terminal."""


class View:
    """Losses, metrics, speed and memory: below a live bar in a terminal, as a line now and then elsewhere."""

    def __init__(self, config: TrainingConfig, start: int, device: str, *, shown: bool) -> None:
        self._device = device
        self._config, self._step, self._start, self._shown = config, start, start, shown
        self._values: dict[str, float] = {}
        self._metrics: dict[str, float] = {}
        self._console = Console(file=sys.stderr, soft_wrap=True)
        self._began = self._said = time.monotonic()
        elapsed = (TextColumn("elapsed"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = Progress(TextColumn("training"), BarColumn(), MofNCompleteColumn(), *elapsed, console=self._console)
        self._task = self._bar.add_task("training", total=config.steps, completed=start)
        live = shown and self._console.is_terminal
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=2) if live else None

    def __enter__(self) -> View:
        if self._shown:
            config = self._config
            size = f"{config.steps} steps of {config.batch} patches, {config.patch}x{config.patch} pixels"
            self._console.print(f"{size}. What to expect of so many steps: docs/training.md", highlight=False)
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        elif self._shown and self._step > self._start:
            self._say()

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Show the losses of a step that is done."""
        self._step, self._values = step + 1, dict(values)
        self._bar.update(self._task, completed=step + 1)
        if self._shown and not self._live and time.monotonic() - self._said > _SECONDS:
            self._say()

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Show new metrics."""
        self._metrics = {f"validation {name}": value for name, value in metrics.items()}

    def _facts(self) -> str:
        speed = (self._step - self._start) * self._config.batch / max(time.monotonic() - self._began, 1e-9)
        numbers = [f"{name} {value:.4g}" for name, value in (self._values | self._metrics).items()]
        memory = peak_memory_mb(self._device)
        return ", ".join([*numbers, f"patches/s {speed:.3g}", *([] if memory is None else [f"memory {memory:.0f} MB"])])

    def _say(self) -> None:
        self._said = time.monotonic()
        line = f"step {self._step} of {self._config.steps}: {self._facts()}"
        self._console.print(line, markup=False, highlight=False)

    def _render(self) -> Group:
        return Group(self._bar, Text(self._facts()))


class Board:
    """TensorBoard logs, if ``wanted``; they need the package tensorboard."""

    def __init__(self, folder: Path, start: int, *, wanted: bool) -> None:
        self._writer: Any = None
        if wanted:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise TrainingError("--tensorboard needs the package tensorboard; pip install tensorboard") from None
            self._writer = SummaryWriter(str(folder), purge_step=start)

    def numbers(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Log scalars as ``group/name``."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def image(self, step: int, image: Tensor) -> None:
        """Log an image, (3, H, W) uint8."""
        if self._writer is not None:
            self._writer.add_image("validation", image, step)
            self._writer.flush()

    def close(self) -> None:
        """Write all that is pending."""
        if self._writer is not None:
            self._writer.close()
