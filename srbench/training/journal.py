"""A table that grows line by line: losses, metrics."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from srbench.images.io import disk_faults_named, write_whole


class Journal:
    """A CSV file of numbers with a column ``step``; the first line's values name the columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line with the names of the first.

        The line survives the end of the process, but perhaps not a power failure; a resumed training writes the lines
        after its checkpoint again.
        """
        header = [] if self._columns else self._lines()[:1]
        self._columns = self._columns or (header[0].strip().split(",") if header else ["step", *values])
        with disk_faults_named(self.path), self.path.open("a") as file:
            writer = csv.DictWriter(file, self._columns, extrasaction="ignore", lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow({"step": step, **values})

    def read(self) -> list[dict[str, float]]:
        """All lines but one that a kill has cut off."""
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
