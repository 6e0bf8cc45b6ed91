"""A check of what a report prints: all its files are made again from the records, in memory, and compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np

from srbench.benchmark.error_maps import read_map
from srbench.benchmark.findings import Findings
from srbench.files.hashes import sha256_bytes
from srbench.interfaces import SRBenchError
from srbench.matrix.folder import is_matrix, read_matrix
from srbench.reporting.files import FILE, Choices, Origin, Rehearsal, ReportList
from srbench.reporting.matrix.report import make_matrix_report
from srbench.reporting.measurements import read_runs
from srbench.reporting.page.page import FILES
from srbench.reporting.report import make_report

TEXTS = ("report.html", *FILES)
"""Files of a report that print numbers."""
SHOWING = ("report.md", "report.html")
"""Files of these that also show images, and name what is not here."""
_NUMBER = re.compile(r"[-\u2212]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?")
_NOT_PRINTED = re.compile(
    r"<style>.*?</style>|<script type=\"module\">.*?</script>|<meta[^>]*>|data:[^\"')\s]*", flags=re.DOTALL
)
"""Parts of a page that are code or images: their digits are no results."""
_MOST, _SHARE = 8, 0.01
"""Largest difference in grey levels, and largest share of such numbers, in a map that another processor computed."""
_OLDER = "was written before the last records; run srbench report"
State = Literal["same", "older", "changed", "other code"]
"""Relation of a report to the records that are here."""


def check_report(path: Path, found: Findings) -> None:
    """Compare every file of the report in the folder of a run or a matrix with what its records give.

    Nothing is checked if there is no report.
    """
    listed = ReportList.read(path)
    if not listed.files and not any((path / name).is_file() for name in TEXTS):
        return
    choices = listed.origin.choices if listed.origin else Choices()
    made = Rehearsal(path, listed)
    try:
        if is_matrix(path):
            runs = [path / cell.name for cell in read_matrix(path).cells]
            make_matrix_report(path, made)
        else:
            runs = [path]
            make_report(read_runs(runs), made, choices)
    except SRBenchError as error:
        found.add("SRB112", path.name, f"its report cannot be made again: {error}")
        return
    now = Origin.of(path, runs, choices)
    check = _Check(path, listed, made, now, found)
    check.files()
    check.list()


@dataclass(frozen=True)
class _Check:
    path: Path
    listed: ReportList
    made: Rehearsal
    now: Origin
    found: Findings

    def files(self) -> None:
        """Compare all files that are listed, and those that have the name of one."""
        lacking: dict[str, list[str]] = {}
        others: dict[str, list[str]] = {}
        for name in sorted({*self.listed.files, *(name for name in TEXTS if (self.path / name).is_file())}):
            folder = name.partition("/")[0]
            if not (self.path / name).is_file():
                lacking.setdefault(folder, []).append(name)
                continue
            self.found.printed_all += 1
            content, made = (self.path / name).read_bytes(), self.made.contents.get(name)
            if self.listed.files.get(name, sha256_bytes(content)) != sha256_bytes(content):
                self.found.add("SRB010", name, f"is not the file that {FILE} states")
            elif content == made or (made is not None and _same_map(content, made)):
                self.found.printed += 1
            elif made is not None and name in TEXTS:
                self._text(name, content.decode(errors="replace"), made.decode())
            else:
                others.setdefault(folder, []).append(name)
        for folder, names in lacking.items():
            self.found.add("SRB112", folder, f"{len(names)} of its files not here, such as {names[0]}")
        for folder, names in others.items():
            if self.state == "older":
                self.found.add("SRB110", folder, _OLDER)
            else:
                text = f"{len(names)} of its files are others if made again, such as {names[0]}"
                self.found.add("SRB113", folder, text)

    def _text(self, name: str, text: str, made: str) -> None:
        state, differences = self.state, list(_differences(text, made))
        first = f"shows {differences[0][0]}, and its records give {differences[0][1]}" if differences else ""
        if state == "older":
            self.found.add("SRB110", name, _OLDER)
        elif not differences and state == "other code":
            self.found.add("SRB208", name, "the same numbers in other words; srbench report writes it again")
        elif not differences:
            self.found.add("SRB113", name, "the same numbers in other words, although its records are the same")
        elif name in SHOWING and self.found.images < self.found.images_kept:
            self.found.add("SRB112", name, "cannot be made again, as images of the run are not here")
        elif state == "other code":
            self.found.add("SRB111", name, f"{first}; srbench report writes it again")
        else:
            self.found.add("SRB009", name, first)

    def list(self) -> None:
        """Compare what the list states about the report, besides its files."""
        if not self.listed.finished:
            self.found.add("SRB112", FILE, "the report was not finished; run srbench report")
        keys = {name: self.made.keys.get(name, "") for name in self.listed.keys}
        if self.state == "changed" or (self.state == "same" and keys != self.listed.keys):
            self.found.add("SRB113", FILE, "states other records than those that are here; run srbench report")

    @property
    def state(self) -> State:
        """Relation of the report to the records: older if lines were appended since."""
        origin = self.listed.origin
        if origin is None:
            return "other code"
        if origin.sources == self.now.sources:
            return "same" if origin.code == self.now.code else "other code"
        lines = {name: one for name, one in origin.sources.items() if not name.endswith("manifest.json")}
        begins = (
            name in self.now.sources and sha256_bytes((self.path / name).read_bytes()[: one.size]) == one.sha256
            for name, one in lines.items()
        )
        return "older" if all(begins) else "changed"


def _same_map(one: bytes, other: bytes) -> bool:
    """True if two images are maps of equal key that differ as much as processors do."""
    first, second = read_map(one), read_map(other)
    if first is None or second is None:
        return False
    (key, pixels), (other_key, other_pixels) = first, second
    if key != other_key or pixels.shape != other_pixels.shape:
        return False
    difference = np.abs(pixels.astype(int) - other_pixels)
    return bool(difference.max() <= _MOST and (difference > 0).mean() <= _SHARE)


def _differences(text: str, made: str) -> Iterator[tuple[str, str]]:
    """Numbers of a text that differ from those of another, in order."""
    one, other = (_NUMBER.findall(_NOT_PRINTED.sub("", version)) for version in (text, made))
    return ((here, there) for here, there in zip_longest(one, other, fillvalue="nothing") if here != there)
