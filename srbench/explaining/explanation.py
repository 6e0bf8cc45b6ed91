"""Explanations of published numbers: the protocols that print them and what these have in common, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from srbench.explaining.matching import Candidate, Match, Printed, matches, nearest
from srbench.words import number_of


@dataclass(frozen=True)
class Explained:
    """A published number of a metric, and the protocols that print it."""

    title: str
    """Title of the metric."""
    printed: Printed
    candidates: tuple[Candidate, ...] = field(repr=False)
    """All protocols tried, the most common first."""
    tried: str
    """The protocols tried, in words."""
    not_tried: tuple[str, ...]
    """One line for each protocol that could not be tried."""
    own: Candidate | None = field(default=None, repr=False)
    """The default protocol of ``srbench measure``; None if outputs and HR differ in size."""
    measured: Printed | None = None
    """The user's own number, if given."""

    @property
    def matches(self) -> tuple[Match, ...]:
        """Protocols that print the number: by rounding, the most common first, then by truncation."""
        return matches(self.printed, self.candidates)

    @property
    def nearest(self) -> tuple[Match, ...]:
        """The three protocols with the nearest values, whether they print the number or not."""
        return nearest(self.printed, self.candidates)

    def lines(self, most: int | None = 8) -> Iterator[str]:
        """Yield the explanation in words, listing at most ``most`` matching protocols (None: all)."""
        if self.matches:
            first, *rest = self.matches
            yield f"{self.printed.text} is {self.title} on {_described(first)}"
            yield from (f"  {line}" for line in _how_to_measure(first))
            if rest:
                yield f"  {_also_print(len(rest))}:"
                shown = rest if most is None else rest[: most - 1]
                yield from (f"    {_with_option(match)}" for match in shown)
                if len(rest) > len(shown):
                    yield f"    and {len(rest) - len(shown)} more, with --all; more digits would tell them apart"
        else:
            yield from self._none_fits()
        yield from (f"  not tried: {line}" for line in self.not_tried)
        yield from self._own()

    def _none_fits(self) -> Iterator[str]:
        yield f"{self.printed.text}: none of {number_of(len(self.candidates), 'protocol')} of {self.title} fits"
        yield "  nearest:"
        for match in self.nearest:
            yield f"    {_with_option(match)}, {self._difference(match)}"
        last_digit = 10**-self.printed.digits
        if self.nearest and abs(self.nearest[0].value - self.printed.number) < 1.6 * last_digit:
            yield "  a difference of 1 in the last digit can come from rounding in another program"
        yield f"  tried: {self.tried}"
        yield "  so the images, their LR images or the weights may differ from those of the published number"

    def summary(self) -> str:
        """Return the first match and the number of other matches, or else the nearest protocol, in one line."""
        if self.matches:
            first, *rest = self.matches
            return _described(first) + (f"; {_also_print(len(rest))}" if rest else "")
        nearest = [f"nearest: {_described(match)}, {self._difference(match)}" for match in self.nearest[:1]]
        return nearest[0] if nearest else "no protocol could be tried"

    def _difference(self, match: Match) -> str:
        return f"{match.value - self.printed.number:+.{self._digits}f}"

    @property
    def _digits(self) -> int:
        return max(self.printed.digits, 2)

    def _own(self) -> Iterator[str]:
        if self.measured is None:
            if self.own is not None:
                yield f"srbench measure gives {self.own.value:.4f}: {self.own.protocol.words}"
            return
        if fitting := matches(self.measured, self.candidates):
            yield f"you measured {self.measured.text}: {self.title} on {_described(fitting[0])}"
            if len(fitting) > 1:
                yield f"  {_also_print(len(fitting) - 1)}"
        else:
            near = "".join(
                f"; the nearest is {_described(match)}" for match in nearest(self.measured, self.candidates, 1)
            )
            yield f"you measured {self.measured.text}: no protocol fits{near}"
        difference = self.printed.number - self.measured.number
        yield f"  difference: {difference:+.{max(self._digits, self.measured.digits)}f}"


def _described(match: Match) -> str:
    truncated = ", truncated" if match.how == "truncated" else ""
    return f"{match.protocol.words} ({match.value:.4f}{truncated})"


def _with_option(match: Match) -> str:
    return _described(match) + (f"  --metrics {match.protocol.text}" if match.protocol.text else "")


def _also_print(count: int) -> str:
    return f"{number_of(count, 'other protocol')} {'prints' if count == 1 else 'print'} the same"


def _how_to_measure(match: Match) -> Iterator[str]:
    if match.protocol.text is None:
        yield "srbench has no --metrics that computes it"
        return
    by_signature: dict[str | None, list[str]] = {}
    for suite, signature in match.candidate.suites.items():
        by_signature.setdefault(signature, []).append(suite)
    yield f"--metrics {match.protocol.text}  (signature {match.candidate.signature})"
    for signature, suites in by_signature.items():
        yield f"--suite {', '.join(suites)}  (signature {signature})"


@dataclass(frozen=True)
class Explanation:
    """Explanations of the published numbers in a row of a table, for two folders of images."""

    images: int
    """Number of images compared."""
    scale: int | None
    """Scale, if given or computed from LR."""
    numbers: tuple[Explained, ...]
    """One explanation per number, in the order given."""
    remarks: tuple[str, ...] = ()
    """Lines about sizes, scales and images that could not be read."""

    def __getitem__(self, place: int) -> Explained:
        return self.numbers[place]

    @property
    def common(self) -> dict[int, Match]:
        """The largest set of matches that share colour, crop and placement, by index of the number.

        Empty for a single number, and if no two numbers have such matches.
        """
        best: dict[int, Match] = {}
        most = (1, 0)  # how many numbers share a setting, and how many of these have exactly equal channels
        for match in (match for explained in self.numbers for match in explained.matches):
            partners: dict[int, Match] = {}
            for place, explained in enumerate(self.numbers):
                sharing = [other for other in explained.matches if other.protocol.setting == match.protocol.setting]
                equal = (other for other in sharing if other.protocol.channels == match.protocol.channels)
                if sharing:
                    partners[place] = next(equal, sharing[0])
            channels = [partner.protocol.channels for partner in partners.values()]
            count = len(partners), channels.count(match.protocol.channels)
            if count > most and len(partners) > 1:
                best, most = partners, count
        return best

    @property
    def suites(self) -> tuple[str, ...]:
        """Packaged suites that print every number."""
        by_number = [
            {name for match in explained.matches for name in match.candidate.suites} for explained in self.numbers
        ]
        return tuple(sorted(set.intersection(*by_number)))

    def text(self, most: int | None = 8) -> str:
        """Return the explanation as text, listing at most ``most`` protocols for each number (None: all)."""
        lines = [*self.remarks]
        for explained in self.numbers:
            lines += explained.lines(most)
        if len(self.numbers) > 1:
            lines += self._common()
        return "\n".join(lines)

    def _common(self) -> Iterator[str]:
        protocols = {place: match.protocol for place, match in self.common.items()}
        if protocols:
            first, *rest = protocols.values()
            is_same = all(protocol.channels == first.channels for protocol in rest)
            channels = first.channels if is_same else first.colour
            crop = f"crop {first.border}" if first.border else "no crop"
            titles = dict.fromkeys(self.numbers[place].title for place in protocols)
            words = [channels, crop, first.placement, first.levels]
            yield f"{' and '.join(titles)} have in common: {', '.join(filter(None, words))}"
            texts = [protocol.text for protocol in protocols.values()]
            if all(texts):
                yield f"  --metrics {','.join(filter(None, texts))}"
        else:
            yield "no two of these numbers share colour, crop and placement"
        if self.suites:
            yield f"--suite {', '.join(self.suites)} prints all of them"
