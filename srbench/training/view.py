"""What a person sees of a training while it runs: on stderr, and in TensorBoard if asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from srbench.training import TrainingError
from srbench.training.config import TrainingConfig

_SECONDS = 30
"""Between lines where stderr is no terminal."""


class View:
    """Progress, losses, metrics, speed and memory; a live table in a terminal, now and then a line elsewhere."""

    def __init__(self, config: TrainingConfig, start: int, *, shown: bool) -> None:
        self._config, self._step, self._start, self._shown = config, start, start, shown
        self._values: dict[str, float] = {}
        self._metrics: dict[str, float] = {}
        self._console = Console(file=sys.stderr, soft_wrap=True)
        self._began = self._said = time.monotonic()
        columns = (
            *(BarColumn(), MofNCompleteColumn()),
            *(TextColumn("elapsed"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
        )
        self._progress = Progress(TextColumn("training"), *columns, console=self._console)
        self._task = self._progress.add_task("training", total=config.steps, completed=start)
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
        """One more step is done."""
        self._step, self._values = step + 1, dict(values)
        self._progress.update(self._task, completed=step + 1)
        if self._shown and not self._live and time.monotonic() - self._said > _SECONDS:
            self._say()

    def validated(self, metrics: Mapping[str, float]) -> None:
        """New metrics."""
        self._metrics = dict(metrics)

    def _facts(self) -> dict[str, str]:
        """What there is to tell, as it is printed."""
        taken = max(time.monotonic() - self._began, 1e-9)
        speed = (self._step - self._start) * self._config.batch / taken
        numbers = {**self._values, **{f"validation {name}": value for name, value in self._metrics.items()}}
        facts = {name: f"{value:.4g}" for name, value in numbers.items()}
        return facts | {"patches/s": f"{speed:.3g}", "memory": f"{_memory_mb():.0f} MB"}

    def _say(self) -> None:
        self._said = time.monotonic()
        facts = ", ".join(f"{name} {value}" for name, value in self._facts().items())
        self._console.print(f"step {self._step} of {self._config.steps}: {facts}", markup=False, highlight=False)

    def _render(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, value in self._facts().items():
            table.add_row(name, value)
        return Group(self._progress, table)


class Board:
    """TensorBoard's files, by its optional package; ``wanted`` false writes none."""

    def __init__(self, folder: Path, start: int, *, wanted: bool) -> None:
        self._writer: Any = None
        if wanted:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise TrainingError("--tensorboard needs the package tensorboard; pip install tensorboard") from None
            self._writer = SummaryWriter(str(folder), purge_step=start)

    def numbers(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Scalars under ``group/name``."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def image(self, step: int, image: Tensor) -> None:
        """(3, H, W) uint8."""
        if self._writer is not None:
            self._writer.add_image("validation", image, step)
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def _memory_mb() -> float:
    """Most memory held so far: on the GPU, or else by this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
