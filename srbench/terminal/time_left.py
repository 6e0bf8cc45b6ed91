"""Time left of work in stages of unlike pace, such as the images of a run and then its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class TimeLeft:
    """Seconds left, from the pace of the stage under way and what is expected of those after it."""

    clock: Callable[[], float] = field(default_factory=lambda: time.monotonic)
    later: float = 0.0
    """Seconds that the stages after this one are expected to take."""
    _first: tuple[float, float] | None = None
    """Time and share at which the stage was seen first: what came before tells nothing of its pace."""
    _share: float = 0.0
    _end: float | None = None

    def next_stage(self) -> None:
        """Begin the last stage. Until its pace is known, the last estimate counts down."""
        self.later, self._first = 0.0, None

    def reached(self, share: float) -> None:
        """Note the finished share of the stage, in [0, 1]; 0 after more begins the next run of several.

        The end is estimated again only when the share has changed.
        """
        now = self.clock()
        if self._first is None or share == 0 < self._share:
            self._first, self._share = (now, share), share
        began, before = self._first
        if share != self._share and share > before:
            self._share = share
            self._end = now + (now - began) * (1 - share) / (share - before) + self.later

    def seconds(self) -> float | None:
        """Seconds left, which count down between two estimates; None before the first."""
        return None if self._end is None else max(self._end - self.clock(), 0.0)
