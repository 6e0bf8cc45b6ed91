"""The page of a run that is still going: rows as they arrive, means so far and the time left."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Literal
from urllib.parse import quote

from srbench.benchmark.costs import Costs, report_seconds
from srbench.reporting.rendering import rendered, style_and_script
from srbench.reporting.scores import header, printed
from srbench.run_folder.folder import REPORT_LOCK, is_being_written, is_locked
from srbench.run_folder.growing import Arrival, GrowingRun
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import AnyRecord
from srbench.terminal.time_left import TimeLeft

ROWS = 200
"""Largest number of rows that the page shows, the last ones."""
GRACE = 10.0
"""Seconds after the end of a run in which it may begin its own report, before one is made for the page."""
State = Literal["measuring", "ended", "finished"]
"""``ended``: all rows are there, and the report is being made; ``finished``: the report is that of the rows."""


@dataclass
class LiveRun:
    """A run folder as the page asks for it, from several threads."""

    path: Path
    is_older: Callable[[Path], bool]
    """Tells whether the report of a folder is older than its rows."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    _run: GrowingRun = field(init=False)
    _left: TimeLeft = field(default_factory=TimeLeft)
    _left_of: int = 0
    """Reading of the run whose time left that is."""
    _costs: Costs = field(default_factory=Costs)
    _began: bool = False
    _ended: float | None = None
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._run = GrowingRun(self.path)

    @property
    def state(self) -> State:
        """State of the run; one that was never seen at work is finished."""
        if is_being_written(self.path):
            self._began, self._ended = True, None
            return "measuring"
        if not self._began:
            return "finished"
        self._ended = self._ended or self.clock()
        is_new = self.clock() - self._ended < GRACE or is_locked(self.path / REPORT_LOCK)
        return "ended" if is_new and self.is_older(self.path) else "finished"

    def news(self, reading: int, after: int) -> dict[str, Any]:
        """State, table of means and the rows after those that the page has, as texts for JSON.

        ``reading`` and ``after`` are those of the last news: where the run was read anew, all its rows are sent.
        Raises RunFolderError if a line is damaged.
        """
        with self._lock:
            state = self.state
            new = self._run.update()
            run, metrics = self._run, self._run.manifest.metrics
            settings = run.manifest.settings
            first = after if reading == run.reading else 0
            means = [[run.means.get((setting, one.name)) for one in metrics] for setting in settings]
            return {
                "state": state,
                "reading": run.reading,
                "next": len(run.arrivals),
                "done": run.done,
                "asked": run.asked,
                "left": self._seconds_left(new),
                "metrics": [header(metric) for metric in metrics],
                "settings": [setting.label for setting in settings],
                "means": [
                    ["–" if mean is None else printed(mean.value, one) for mean, one in zip(row, metrics, strict=True)]
                    + [str(self._images(setting))]
                    for setting, row in zip(settings, means, strict=True)
                ],
                "rows": [self._row(arrival) for arrival in run.arrivals[max(first, len(run.arrivals) - ROWS) :]],
            }

    def _images(self, setting: Setting) -> int:
        return max((mean.images for (one, _), mean in self._run.means.items() if one == setting), default=0)

    def _row(self, arrival: Arrival) -> dict[str, Any]:
        sample, metrics = arrival.sample, self._run.manifest.metrics
        file = next(iter(self._run.folder.output_files(sample)), None)
        values = [arrival.values.get(metric.name) for metric in metrics]
        return {
            "image": sample.image,
            "setting": sample.setting.label,
            "file": "" if file is None else quote(file.relative_to(self.path).as_posix()),
            "values": [
                "–" if value is None else printed(value, one) for value, one in zip(values, metrics, strict=True)
            ],
            "error": sample.error,
        }

    def _seconds_left(self, new: Sequence[AnyRecord]) -> float | None:
        """Seconds left by the pace since the last command began, and those of its report; None until they are known.

        That is when one output of every model and temperature is measured, as they take unlike times.
        """
        run, command = self._run, len(self._run.manifest.invocations) - 1
        if self._left_of != run.reading:
            work = run.work_of(command)
            self._costs = Costs([((setting, is_sampled), image) for (setting, image), is_sampled in work.items()])
            self._left, self._left_of = TimeLeft(self.clock, report_seconds(len(work))), run.reading
            began = self.clock()
            with suppress(ValueError, IndexError):  # of a time that is none
                began = datetime.fromisoformat(run.manifest.invocations[command].started).timestamp()
            self._left.clock = lambda: began
            self._left.reached(0)
            self._left.clock = self.clock
        for line in new:
            if line.invocation == command:
                self._costs.add(line)
        if new:
            now = {one.sample.setting for one in run.arrivals if max(one.invocations) == command}
            self._costs.is_known = {setting for (setting, _), _ in self._costs.planned} <= now
            self._left.reached(self._costs.share(run.done / max(run.asked, 1)))
        return self._left.seconds()


def live_page(run: Path) -> str:
    """Text of the page, which asks this server alone for everything it shows."""
    facts = style_and_script(["report.css", "live.css"], ["live.js"])
    return rendered("live.html.jinja", name=run.resolve().name, rows=ROWS, **facts)


def as_json(news: dict[str, Any]) -> tuple[bytes, str]:
    """The news as JSON, and an ETag that is the same as long as there are none; the time left counts down without."""
    content = json.dumps(news, ensure_ascii=False, allow_nan=False).encode()
    facts = json.dumps({name: value for name, value in news.items() if name != "left"}).encode()
    return content, f'"{hashlib.sha256(facts).hexdigest()[:16]}"'
