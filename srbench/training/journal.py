"""A table that grows by one line at a time: losses, metrics."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

from srbench.images.io import disk_faults_named, write_whole


class Journal:
    """A CSV file with a column ``step`` and numbers; its header is the names of the first line's values."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """One more line. Every line has the names of the first.

        When this returns, the operating system has the line, and the end of the process does not lose it. A power
        failure may lose the last lines; a training that goes on writes those after its last checkpoint again.
        """
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._columns:
            self._columns = self._header() or ["step", *values]
            if not self.path.exists():
                writer.writerow(self._columns)
        row = {"step": step, **values}
        writer.writerow([row[name] for name in self._columns])
        with disk_faults_named(self.path), self.path.open("a") as file:
            file.write(text.getvalue())

    def read(self) -> list[dict[str, float]]:
        """All whole lines; a last one that was cut off by a kill is left out."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]

    def keep(self, wanted: Callable[[int], bool]) -> None:
        """Drop the lines of steps that are not wanted."""
        if not self.path.exists():
            return
        header, *lines = self.path.read_text().splitlines(keepends=True) or [""]
        kept = [line for line in lines if line.endswith("\n") and wanted(int(line.partition(",")[0]))]
        if header.endswith("\n"):
            write_whole(self.path, "".join([header, *kept]).encode())
        else:
            self.path.unlink()

    def _header(self) -> list[str]:
        if not self.path.exists():
            return []
        with self.path.open() as file:
            return file.readline().strip().split(",")
