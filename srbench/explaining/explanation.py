"""Explanations of published numbers: the protocols that print them and what these have in common, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import combinations
from typing import TYPE_CHECKING

from srbench.explaining.matching import (
    RAREST,
    UNUSUAL,
    Candidate,
    Match,
    Neighbours,
    Printed,
    by_luck,
    chance_text,
    joint_chance,
    matches,
    nearest,
    neighbours,
    result_of,
)
from srbench.words import number_of

if TYPE_CHECKING:
    from srbench.explaining.protocols.table import MetricProtocol, ProtocolSetting


@dataclass(frozen=True)
class Evidence:
    """The protocol that best explains a published number,
    and the chance that an equally common one prints an arbitrary number.
    """

    match: Match
    chance: float
    is_common: bool = False
    """True if the chance counts several numbers of a row, which one common setting prints."""

    @property
    def result(self) -> str:
        """``reproduced``, ``consistent`` or ``cannot tell``."""
        return result_of(self.chance)

    @property
    def words(self) -> str:
        """The chance, and whether it is that of the row."""
        return chance_text(self.chance) + (" with its row" if self.is_common else "")


@dataclass(frozen=True)
class Explained:
    """A published number of a metric, and the protocols that print it."""

    metric: str
    """Name of the metric, as in ``--metrics``."""
    title: str
    """Title of the metric."""
    printed: Printed
    candidates: tuple[Candidate, ...] = field(repr=False)
    """All protocols tried, the most common first."""
    tried: str = ""
    """The protocols tried, in words."""
    not_tried: tuple[str, ...] = ()
    """One line for each protocol that could not be tried."""
    default: Candidate | None = field(default=None, repr=False)
    """The default protocol of ``srbench measure``; None if outputs and HR differ in size."""
    measured: Printed | None = None
    """The user's own number, if given."""

    @cached_property
    def matches(self) -> tuple[Match, ...]:
        """Protocols that print the number, the most common first;
        of equally common ones, by rounding, then by truncation.
        """
        return matches(self.printed, self.candidates)

    @property
    def nearest(self) -> tuple[Match, ...]:
        """The three protocols with the nearest values, whether they print the number or not."""
        return nearest(self.printed, self.candidates)

    @cached_property
    def neighbours(self) -> Neighbours:
        """The numbers in the window around the published one, and the protocols that print them."""
        return neighbours(self.printed, self.candidates, self.printed.window(self.metric))

    @property
    def evidence(self) -> Evidence | None:
        """The user's protocol if it prints the number, or else the most common that does; None if none does."""
        best = next((match for match in self.matches if match.candidate.is_default), next(iter(self.matches), None))
        return None if best is None else Evidence(best, self.neighbours.chance(best.rank))

    def lines(self, evidence: Evidence | None, most: int | None = 8) -> Iterator[str]:
        """Yield the explanation in words, listing at most ``most`` matching protocols (None: all)."""
        if evidence:
            yield self._sentence(evidence)
            yield from (f"  {line}" for line in _how_to_measure(evidence.match))
            yield f"  {self._counted(evidence)}"
            rest = [match for match in self.matches if match != evidence.match]
            if rest:
                yield f"  {_give_the_same(len(rest))}:"
                shown = rest if most is None else rest[: most - 1]
                yield from (f"    {_with_option(match, self.neighbours.chance(match.rank))}" for match in shown)
                if len(rest) > len(shown):
                    yield f"    and {len(rest) - len(shown)} more, with --all; more digits would tell them apart"
        else:
            yield from self._none_fits()
        yield from (f"  not tried: {line}" for line in self.not_tried)
        yield from self._measured()

    def _sentence(self, evidence: Evidence) -> str:
        protocol = f"{self.title} on {described(evidence.match)}"
        match evidence.result:
            case "reproduced":
                return f"{self.printed.text} is {protocol}"
            case "consistent":
                return f"{self.printed.text} is consistent with {protocol}, no evidence by itself"
            case _:
                return f"{self.printed.text} may be {protocol}; cannot tell: give more digits, or a second metric"

    def _counted(self, evidence: Evidence) -> str:
        numbers, rank = self.neighbours, evidence.match.rank
        return (
            f"{chance_text(numbers.chance(rank), 'chance of coincidence')}: of the "
            f"{number_of(numbers.count, 'number')} within {self.printed.window(self.metric)}, "
            f"{len(numbers.of_rank(rank))} come from protocols at least as common, {len(numbers.of_rank(RAREST))} from "
            f"any of the {len(self.candidates)} tried"
            + (f"; with the other numbers of the row: {chance_text(evidence.chance)}" if evidence.is_common else "")
        )

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

    def summary(self, evidence: Evidence | None) -> str:
        """Return the best match, its chance and the number of other matches, or the nearest protocol, in one line."""
        if evidence:
            rest = len(self.matches) - 1
            also = f"; {_give_the_same(rest)}" if rest else ""
            return f"{described(evidence.match)}, {evidence.words}{also}"
        nearest = [f"nearest: {described(match)}, {self._difference(match)}" for match in self.nearest[:1]]
        return nearest[0] if nearest else "no protocol could be tried"

    def _difference(self, match: Match) -> str:
        return f"{match.value - self.printed.number:+.{self._digits}f}"

    @property
    def _digits(self) -> int:
        return max(self.printed.digits, 2)

    def _measured(self) -> Iterator[str]:
        if self.measured is None:
            if self.default is not None:
                yield f"srbench measure gives {self.default.value:.4f}: {self.default.protocol.words}"
            return
        if fitting := matches(self.measured, self.candidates):
            window = self.measured.window(self.metric)
            chance = neighbours(self.measured, self.candidates, window).chance(fitting[0].rank)
            yield f"you measured {self.measured.text}: {self.title} on {described(fitting[0])}, {chance_text(chance)}"
            if len(fitting) > 1:
                yield f"  {_give_the_same(len(fitting) - 1)}"
        else:
            near = "".join(
                f"; the nearest is {described(match)}" for match in nearest(self.measured, self.candidates, 1)
            )
            yield f"you measured {self.measured.text}: no protocol fits{near}"
        difference = self.printed.number - self.measured.number
        yield f"  difference: {difference:+.{max(self._digits, self.measured.digits)}f}"


def described(match: Match) -> str:
    """Return the protocol of a match with its value, and whether it truncates or is unusual."""
    notes = [f"{match.value:z.4f}"]
    notes += ["truncated"] if match.how == "truncated" else []
    notes += ["unusual"] if match.candidate.rarity == UNUSUAL else []
    return f"{match.protocol.words} ({', '.join(notes)})"


def _with_option(match: Match, chance: float | None = None) -> str:
    words = described(match) + ("" if chance is None else f", {chance_text(chance)}")
    protocol = match.protocol
    has_option = protocol.text and not protocol.frames
    return words + (f"  --metrics {_options(protocol, str(protocol.text))}" if has_option else "")


def _options(protocol: MetricProtocol, option: str) -> str:
    """Return an option with what else it takes to average as a protocol does."""
    return f"{option} --average groups" if protocol.of_clips else option


def _give_the_same(count: int) -> str:
    return f"{number_of(count, 'other protocol')} {'gives' if count == 1 else 'give'} the same number"


def _how_to_measure(match: Match) -> Iterator[str]:
    if match.protocol.text is None:
        yield "srbench has no --metrics that computes it"
        return
    by_signature: dict[str | None, list[str]] = {}
    for suite, signature in match.candidate.suites.items():
        by_signature.setdefault(signature, []).append(suite)
    yield f"--metrics {_options(match.protocol, match.protocol.text)}  (signature {match.candidate.signature})"
    for signature, suites in by_signature.items():
        yield f"--suite {_options(match.protocol, ', '.join(suites))}  (signature {signature})"
    if match.protocol.frames:
        yield "on copies of these images: no option leaves the others out"


@dataclass(frozen=True)
class Common:
    """Several numbers of a row, one of each metric, that protocols of one setting print."""

    matches: dict[int, Match]
    """Protocols of the setting, by index of the number."""
    chance: float
    """Fraction of such rows of numbers that protocols of one setting, at least as common, print."""
    chances: dict[int, float]
    """By index of the number, its chance if the other numbers, and so the setting, are right."""

    def evidence(self, index: int) -> Evidence:
        """Return the evidence for a number: the whole row and the number beside the others must both be unlikely."""
        return Evidence(self.matches[index], max(self.chance, self.chances[index]), is_common=True)


@dataclass(frozen=True)
class Explanation:
    """Explanations of the published numbers in a row of a table, for two folders of images."""

    numbers: tuple[Explained, ...]
    """One explanation per number, in the order given."""
    images: int = 0
    """Number of images compared."""
    scale: int | None = None
    """Scale, if given or computed from LR."""
    remarks: tuple[str, ...] = ()
    """Lines about sizes, scales and images that could not be read."""

    def __getitem__(self, index: int) -> Explained:
        return self.numbers[index]

    @cached_property
    def common(self) -> Common | None:
        """The most numbers whose protocols share colour, crop and placement; the most common such protocols.

        None for a single number, and if no two metrics have such protocols.
        """
        best: dict[int, Match] = {}
        best_key = -2, RAREST + 1, 0  # at least two numbers
        for match in (match for explained in self.numbers for match in explained.matches):
            partners: dict[str, tuple[int, Match]] = {}
            for index, explained in enumerate(self.numbers):
                sharing = [other for other in explained.matches if other.protocol.setting == match.protocol.setting]
                equal = (other for other in sharing if other.protocol.channels == match.protocol.channels)
                if sharing:
                    partners.setdefault(explained.metric, (index, next(equal, sharing[0])))
            row = dict(partners.values())
            channels = [partner.protocol.channels for partner in row.values()]
            key = -len(row), max(partner.rank for partner in row.values()), -channels.count(match.protocol.channels)
            if key < best_key:
                best, best_key = row, key
        return self._counted(best) if best else None

    def _counted(self, row: dict[int, Match]) -> Common:
        """Count how many rows of numbers a setting at least as common prints; any choice of as many metrics counts."""
        rank = max(match.rank for match in row.values())
        choices = [
            choice
            for choice in combinations(self.numbers, len(row))
            if len({explained.metric for explained in choice}) == len(row)
        ]
        joint = sum(joint_chance([explained.neighbours for explained in choice], rank) for choice in choices)
        chances = {}
        for index in row:
            others = [self.numbers[other] for other in row if other != index]
            chances[index] = self.numbers[index].neighbours.chance(rank, _settings(others, rank))
        return Common(row, joint, chances)

    @cached_property
    def evidence(self) -> tuple[Evidence | None, ...]:
        """The evidence for each number: alone or in common, whichever is less likely by chance."""
        evidence = [explained.evidence for explained in self.numbers]
        if self.common:
            for index in self.common.matches:
                common, alone = self.common.evidence(index), evidence[index]
                if alone is None or common.chance < alone.chance:
                    evidence[index] = common
        return tuple(evidence)

    def by_luck(self, index: int) -> float:
        """Return the fraction of arbitrary numbers that would be called reproduced in place of a number of the row."""
        number = self.numbers[index]
        others = [each for each in self.numbers if each.metric != number.metric]
        return by_luck(number.neighbours, [(each.neighbours, partial(_settings, [each])) for each in others])

    @property
    def suites(self) -> tuple[str, ...]:
        """Packaged suites that print every number."""
        by_number = [
            {
                name
                for match in explained.matches
                for name in match.candidate.suites
                if not (match.protocol.frames or match.protocol.of_clips)
            }
            for explained in self.numbers
        ]
        return tuple(sorted(set.intersection(*by_number)))

    def text(self, most: int | None = 8) -> str:
        """Return the explanation as text, listing at most ``most`` protocols for each number (None: all)."""
        lines = [*self.remarks]
        for explained, evidence in zip(self.numbers, self.evidence, strict=True):
            lines += explained.lines(evidence, most)
        if len({explained.metric for explained in self.numbers}) > 1:
            lines += self._common()
        return "\n".join(lines)

    def _common(self) -> Iterator[str]:
        if self.common:
            protocols = [match.protocol for match in self.common.matches.values()]
            first, *rest = protocols
            is_same = all(protocol.channels == first.channels for protocol in rest)
            channels = first.channels if is_same else first.colour
            crop = f"crop {first.border}" if first.border else "no crop"
            titles = [self.numbers[index].title for index in self.common.matches]
            words = [channels, crop, first.placement, first.levels, first.frames]
            words += ["mean over clips"] if first.of_clips else []
            yield f"{' and '.join(titles)} have in common: {', '.join(filter(None, words))}"
            yield (
                f"  chance of coincidence {self.common.chance:.2g}: the share of all rows of such numbers that a "
                "shared setting at least as common gives"
            )
            texts = [protocol.text for protocol in protocols]
            if all(texts):
                yield f"  --metrics {_options(first, ','.join(filter(None, texts)))}"
        else:
            yield "no two of these numbers share colour, crop and placement"
        if self.suites:
            yield f"--suite {', '.join(self.suites)} gives all of them"


def _settings(numbers: Sequence[Explained], rank: int) -> set[ProtocolSetting]:
    """Return the settings in which protocols of this rank or lower print all of the numbers."""
    printing = [{match.protocol.setting for match in explained.matches if match.rank <= rank} for explained in numbers]
    return set.intersection(*printing)
