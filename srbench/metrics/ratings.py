"""Ratings by people, read from a CSV file: a column like any other."""

from __future__ import annotations

import csv
import math
import warnings
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Literal

from srbench.files.hashes import sha256_file
from srbench.interfaces import MetricInfo, RowMetric
from srbench.metrics import MetricError
from srbench.words import listed


class Ratings(RowMetric):
    """A column of a CSV file with the columns ``image``, ``row`` and optionally ``sample``.

    ``row`` is a row of the table in file names, such as ``srflow-t0.85`` or ``rrdb``; ``sample`` counts from 0. The
    value of an image is the mean over its rated samples. ``better`` is ``higher`` or ``lower``.

    Raises MetricError for a file that cannot be read, a column that it lacks, and a line that is no rating.
    """

    def __init__(self, file: Path, column: str, better: Literal["higher", "lower"] = "higher") -> None:
        self.file, self.column = file, column
        self._unrated: set[str] = set()
        _ = self.ratings  # a faulty file is refused before anything is measured
        self.info = MetricInfo(
            name=column,
            title=column,
            direction=1 if better == "higher" else -1,
            protocol=f"{column} of {self.file.name}: ratings by people, mean over the rated samples of an image",
            signature=f"{self.file.name} {sha256_file(self.file)[:8]}|v1",
            digits=2,
            group="Perception",
        )

    @cached_property
    def ratings(self) -> dict[str, dict[str, dict[int | None, float]]]:
        """Ratings by row, image and sample; None for a line without sample."""
        try:
            with self.file.open(encoding="utf-8-sig", newline="") as file:
                lines = csv.DictReader(file, strict=True)
                for name in ("image", "row", self.column):
                    if name not in (lines.fieldnames or ()):
                        columns = ", ".join(lines.fieldnames or ()) or "none"
                        raise MetricError(f"{self.file}: has no column {name}; its columns are {columns}")
                ratings: dict[str, dict[str, dict[int | None, float]]] = defaultdict(lambda: defaultdict(dict))
                for line in lines:
                    row, image = line["row"] or "", line["image"] or ""
                    text, rating = line.get("sample") or "", line[self.column] or ""
                    own, sample = ratings[row][image], int(text) if text.isdecimal() else None
                    try:
                        value = float(rating)
                    except ValueError:
                        value = math.nan
                    if not (row and image and math.isfinite(value)) or (text and sample is None):
                        raise MetricError(
                            f"{self.file}: line {lines.line_num} is no rating; give image, row, a number as "
                            f"{self.column}, and sample, if any, as 0, 1, ..."
                        )
                    if sample in own or (own and (sample is None) != (None in own)):
                        raise MetricError(
                            f"{self.file}: line {lines.line_num} rates {row} {image} again; keep one line"
                        )
                    own[sample] = value
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MetricError(f"{self.file}: cannot be read ({reason}); give a CSV file in UTF-8") from None
        if not ratings:
            raise MetricError(f"{self.file}: has no ratings; add lines with image, row and {self.column}")
        return ratings

    def measure(self, row: str, image: str, samples: int) -> float | None:
        """Return the mean rating of an image of a row. Raises MetricError for an image or sample that there is not."""
        if row not in self.ratings:
            if row not in self._unrated:
                self._unrated.add(row)
                rows = listed(self.ratings)
                warnings.warn(
                    f"{self.file} has no {self.column} of {row}, only of {rows}; its cells are dashes", stacklevel=2
                )
            return None
        if image not in self.ratings[row]:
            raise MetricError(f"{self.file}: has no {self.column} of {row} {image}, but of other images; add a line")
        own = self.ratings[row][image]
        if beyond := [sample for sample in own if sample is not None and sample >= samples]:
            raise MetricError(
                f"{self.file}: rates sample {beyond[0]} of {row} {image}, which has {samples}; count samples from 0"
            )
        return math.fsum(own.values()) / len(own)
