"""Progress display of a training on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from rich.console import RenderableType
from rich.progress import Progress
from rich.text import Text

from srbench.machine.memory import peak_memory_mb
from srbench.terminal.output import STDERR, duration, say
from srbench.terminal.progress import SECONDS, columns
from srbench.training.config import TrainingConfig
from srbench.training.stopping import StopRequest


class View(Progress):
    """Context manager that shows losses, metrics, speed, time left, and the memory of the device.

    In a terminal they appear below a progress bar, elsewhere as a line every 30 seconds. Shows nothing unless
    ``enabled``.
    """

    def __init__(self, config: TrainingConfig, start: int, stop: StopRequest, device: str, *, enabled: bool) -> None:
        self._config = config
        self._device = device
        self._start = start
        self._step = start
        self._stop = stop
        self._values: dict[str, float] = {}
        self._began = time.monotonic()
        self._said = self._began
        super().__init__(
            *columns(),
            console=STDERR,
            refresh_per_second=2,
            disable=not (enabled and STDERR.is_terminal),
        )
        self._task = self.add_task("training", total=config.steps, completed=start)
        if enabled:
            size = f"{config.steps} steps of {config.batch} patches, {config.patch}x{config.patch} pixels"
            say(f"{size}. What to expect from this many steps: docs/training.md")

    def show(self, done: int, values: Mapping[str, float]) -> None:
        """Show the number of steps done and the latest values by name; other values remain shown."""
        self._step = done
        self._values.update(values)
        if done == self._start:  # the time of the first validation is not that of steps
            self._began = time.monotonic()
        self.update(self._task, completed=done)
        if self.disable and time.monotonic() - self._said > SECONDS:
            self._say()

    def stop(self) -> None:
        """End the bar, or print a line for the last step."""
        super().stop()
        if self.disable and self._values:
            self._say()

    def get_renderables(self) -> Iterable[RenderableType]:
        """Render the bar, and the values below it."""
        yield from super().get_renderables()
        yield Text(self._summary())

    def _say(self) -> None:
        self._said = time.monotonic()
        done, remaining = self._step - self._start, self._config.steps - self._step
        left = f", about {duration(remaining * (self._said - self._began) / done)} left" if done and remaining else ""
        say(f"step {self._step} of {self._config.steps}{left}: {self._summary()}")

    def _summary(self) -> str:
        values = sorted(self._values.items(), key=lambda item: item[0].startswith("validation"))  # losses first
        parts = [f"{name} {value:.4g}" for name, value in values]
        seconds = max(time.monotonic() - self._began, 1e-9)
        parts.append(f"patches/s {(self._step - self._start) * self._config.batch / seconds:.3g}")
        if self._stop.signal:
            parts.insert(0, "stopping after this step; repeat to stop at once")
        memory = peak_memory_mb(self._device)
        return ", ".join(parts if memory is None else [*parts, f"memory {memory:.0f} MB"])
