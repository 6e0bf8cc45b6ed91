"""Shares of the work of a run, by the time that its settings have taken so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import AnyRecord, SampleRecord, ScoreRecord

Kind = tuple[Setting, bool]
"""A setting, and True if it is sampled, False if only values are lacking."""

REPORT, REPORT_OF_ITEM = 2.0, 0.07
"""Seconds for plots and page, and for strip and maps of an item: packaged photographs on two cores."""


def report_seconds(items: int) -> float:
    """Seconds that the report of so many new items takes, until its own pace is known: strips, maps, plots, page."""
    return REPORT + REPORT_OF_ITEM * items


@dataclass
class Costs:
    """Items that were planned, and what those done have cost: an SRFlow of five samples takes longer than bicubic."""

    planned: Sequence[tuple[Kind, str]] = ()
    """Kind and image of every item."""
    pixels: Mapping[str, int] = field(default_factory=dict)
    """Pixels of the images, to which cost is proportional; without any, all are alike."""
    is_known: bool = False
    """True once an image is done, and with it an item of every setting."""
    _begun: set[tuple[Setting, str]] = field(default_factory=set)
    _seconds: defaultdict[Kind, float] = field(default_factory=lambda: defaultdict(float))
    _images: defaultdict[Kind, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, line: AnyRecord) -> None:
        """Note the seconds that an output or a value took."""
        if isinstance(line, SampleRecord | ScoreRecord):
            sampled = self._images[line.setting, True]
            is_sampled = isinstance(line, SampleRecord) or line.image in sampled
            self._images[line.setting, is_sampled].add(line.image)
            self._seconds[line.setting, is_sampled] += line.seconds

    def begin(self, setting: Setting, image: str) -> None:
        """Note that an item is under way, which counts as half of its cost until its outputs are there."""
        self._begun.add((setting, image))

    def share(self, of_items: float) -> float:
        """Finished share of the planned work, in [0, 1]; 0 until it is known, ``of_items`` if nothing took time.

        An item of which nothing is known, as all of its kind have failed, costs nothing.
        """
        if not self.is_known:
            return 0.0
        done, whole = sum(self._seconds.values()), 0.0
        of_kinds: defaultdict[Kind, set[str]] = defaultdict(set)
        for kind, image in self.planned:
            of_kinds[kind].add(image)
        for kind, images in of_kinds.items():
            if seen := self._images[kind]:
                each = self._seconds[kind] / self._size(seen)
                whole += each * self._size(images | seen)
                done += each * self._size(image for image in images - seen if (kind[0], image) in self._begun) / 2
        return min(done / whole, 1.0) if whole else of_items

    def _size(self, images: Iterable[str]) -> int:
        return sum(self.pixels.get(image, 1) for image in images)
