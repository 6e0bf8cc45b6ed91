"""Explanation of published numbers: their protocols, what these have in common, and the same in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from srbench.benchmark.explain.matching import Candidate, Match, Printed, matches, nearest
from srbench.words import number_of


@dataclass(frozen=True)
class Explained:
    """A number of one metric, and the protocols that print it."""

    title: str
    """Title of the metric."""
    printed: Printed
    candidates: tuple[Candidate, ...] = field(repr=False)
    """All protocols that were tried, the most common first."""
    tried: str
    """The same in words."""
    not_tried: tuple[str, ...]
    """Lines for what could not be tried."""
    own: Candidate | None = field(default=None, repr=False)
    """Value that ``srbench measure`` computes without parameters; None if the images are of other sizes."""
    measured: Printed | None = None
    """Number that was measured instead of the published one, if it was given."""

    @property
    def matches(self) -> tuple[Match, ...]:
        """Protocols that print the number, the most common first; those that truncate it at the end."""
        return matches(self.printed, self.candidates)

    @property
    def nearest(self) -> tuple[Match, ...]:
        """The three nearest protocols, whether they print it or not."""
        return nearest(self.printed, self.candidates)

    def lines(self, most: int | None = 8) -> Iterator[str]:
        """The explanation in words, of so many protocols that print the number; None: of all."""
        if found := self.matches:
            first, *others = found
            yield f"{self.printed.text} is {self.title} {_described(first, 'on')}"
            yield from (f"  {line}" for line in _how_to_measure(first))
            if others:
                yield f"  {number_of(len(others), 'other protocol')} {_verb(len(others))} the same:"
                shown = others if most is None else others[: most - 1]
                yield from (f"    {_described(one)}{_short(one)}" for one in shown)
                if len(others) > len(shown):
                    yield f"    and {len(others) - len(shown)} more, with --all; more digits would tell them apart"
        else:
            yield from self._none_fits()
        yield from (f"  not tried: {line}" for line in self.not_tried)
        yield from self._own()

    def _none_fits(self) -> Iterator[str]:
        count, unit = len(self.candidates), 10**-self.printed.digits
        yield f"{self.printed.text}: none of {number_of(count, 'protocol')} of {self.title} fits"
        yield "  nearest:"
        for near in self.nearest:
            yield f"    {_described(near)}{_short(near)}, {near.value - self.printed.number:+.{self._digits}f}"
        if self.nearest and abs(self.nearest[0].value - self.printed.number) < 1.6 * unit:
            yield "  a difference of one in the last digit can come from another program's arithmetic"
        yield f"  tried: {self.tried}"
        yield "  so the images, their LR images or the weights may differ from those behind the number"

    @property
    def _digits(self) -> int:
        return max(self.printed.digits, 2)

    def _own(self) -> Iterator[str]:
        if self.measured is not None:
            found = matches(self.measured, self.candidates)
            if found:
                yield f"you measured {self.measured.text}: {self.title} {_described(found[0], 'on')}"
                if len(found) > 1:
                    yield f"  {number_of(len(found) - 1, 'other protocol')} {_verb(len(found) - 1)} the same"
            else:
                near = nearest(self.measured, self.candidates, 1)
                told = f"; the nearest is {_described(near[0])}" if near else ""
                yield f"you measured {self.measured.text}: no protocol fits{told}"
            difference = self.printed.number - self.measured.number
            yield f"  difference: {difference:+.{max(self._digits, self.measured.digits)}f}"
        elif self.own is not None:
            yield f"srbench measure gives {self.own.value:.4f}: {self.own.protocol.words}"


def _described(match: Match, before: str = "") -> str:
    how = ", truncated" if match.how == "truncated" else ""
    return f"{before} {match.protocol.words} ({match.value:.4f}{how})".strip()


def _how_to_measure(match: Match) -> Iterator[str]:
    if match.protocol.text is None:
        yield "srbench has no --metrics that computes it"
        return
    yield f"--metrics {match.protocol.text}"
    if match.candidate.signature:
        yield f"signature {match.candidate.signature}"
    if match.candidate.suites:
        yield f"as in --suite {', '.join(match.candidate.suites)}"


def _short(match: Match) -> str:
    return f"  --metrics {match.protocol.text}" if match.protocol.text else ""


def _verb(number: int) -> str:
    return "prints" if number == 1 else "print"


@dataclass(frozen=True)
class Explanation:
    """Published numbers of one row of a table, explained on two folders of images."""

    images: int
    """Images that were compared."""
    scale: int | None
    """Scale, if it was given or follows from LR."""
    numbers: tuple[Explained, ...]
    """One for each number, in the order given."""
    remarks: tuple[str, ...] = ()
    """Lines about sizes, scales and images that could not be read."""

    def __getitem__(self, place: int) -> Explained:
        return self.numbers[place]

    @property
    def common(self) -> dict[int, Match]:
        """Matches that share colour, crop and placement, by the place of their number: of as many numbers as can be.

        Empty where no two share them, and for a single number.
        """
        best: dict[int, Match] = {}
        most = (1, 0)  # numbers that share a setting, and of these those with the very same channels
        for match in (one for explained in self.numbers for one in explained.matches):
            partners: dict[int, Match] = {}
            for place, other in enumerate(self.numbers):
                same = [one for one in other.matches if one.protocol.setting == match.protocol.setting]
                equal = (one for one in same if one.protocol.channels == match.protocol.channels)
                if same:
                    partners[place] = next(equal, same[0])
            channels = [one.protocol.channels for one in partners.values()]
            if (len(partners), channels.count(match.protocol.channels)) > most and len(partners) > 1:
                best, most = partners, (len(partners), channels.count(match.protocol.channels))
        return best

    @property
    def suites(self) -> tuple[str, ...]:
        """Packaged suites by which every number is printed."""
        by_number = [{name for match in one.matches for name in match.candidate.suites} for one in self.numbers]
        return tuple(sorted(set.intersection(*by_number)))

    def text(self, most: int | None = 8) -> str:
        """All of it in lines, with so many protocols for each number; None: with all."""
        lines = [*self.remarks]
        for explained in self.numbers:
            lines += explained.lines(most)
        if len(self.numbers) > 1:
            lines += self._common()
        return "\n".join(lines)

    def _common(self) -> Iterator[str]:
        found = self.common
        if found:
            first, *others = found.values()
            is_same = all(one.protocol.channels == first.protocol.channels for one in others)
            channels = first.protocol.channels if is_same else first.protocol.colour
            crop = f"crop {first.protocol.border}" if first.protocol.border else "no crop"
            titles = dict.fromkeys(self.numbers[place].title for place in found)
            words = [channels, crop, first.protocol.placement, first.protocol.levels]
            yield f"{' and '.join(titles)} have in common: {', '.join(filter(None, words))}"
            texts = [match.protocol.text for match in found.values()]
            if all(texts):
                yield f"  --metrics {','.join(filter(None, texts))}"
        else:
            yield "no two of these numbers share colour, crop and placement"
        if self.suites:
            yield f"all of them are printed by --suite {', '.join(self.suites)}"
