"""Shares of the work of a run, by the time that its settings have taken so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import AnyRecord, SampleRecord, ScoreRecord

Kind = tuple[Setting, bool]
"""A setting, and True if it is sampled, False if only values are lacking."""


@dataclass
class Costs:
    """Items that were planned, and what those done have cost: an SRFlow of five samples takes longer than bicubic."""

    planned: Mapping[Kind, int] = field(default_factory=dict)
    is_known: bool = False
    """True once an image is done, and with it an item of every setting."""
    _seconds: defaultdict[Kind, float] = field(default_factory=lambda: defaultdict(float))
    _images: defaultdict[Kind, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, line: AnyRecord) -> None:
        """Note the seconds that an output or a value took."""
        if isinstance(line, SampleRecord | ScoreRecord):
            sampled = self._images[line.setting, True]
            is_sampled = isinstance(line, SampleRecord) or line.image in sampled
            self._images[line.setting, is_sampled].add(line.image)
            self._seconds[line.setting, is_sampled] += line.seconds

    def share(self, of_items: float) -> float:
        """Finished share of the planned work, in [0, 1]; 0 until it is known, ``of_items`` if nothing took time.

        An item of which nothing is known, as all of its kind have failed, costs nothing.
        """
        if not self.is_known:
            return 0.0
        whole = sum(
            self._seconds[kind] * max(count / len(self._images[kind]), 1)
            for kind, count in self.planned.items()
            if self._images[kind]
        )
        return min(sum(self._seconds.values()) / whole, 1.0) if whole else of_items
