"""Protocols that print a published number, and the chance that equally common ones print an arbitrary number near it.

A number with few digits is printed by some protocol whatever the images are. So every match has a chance: the fraction
of the numbers near the published one, with as many digits, that a protocol at least as common prints. It is counted.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from srbench.explaining import ExplainError

if TYPE_CHECKING:  # torch is not needed to compare numbers
    from srbench.explaining.protocols.table import MetricProtocol, ProtocolSetting

MOST_DIGITS = 8
TRUNCATED_DIGITS = 3
"""Fewest digits after the point of a number that may be truncated."""
REPRODUCED, CONSISTENT = 0.05, 0.25
"""Largest chances of a match that is evidence, and of one that is consistent."""
IN_A_SUITE, AN_OPTION, UNUSUAL = range(3)
"""Rarity of a protocol: in a packaged suite, computed by ``--metrics``, or neither, such as a shift by a pixel.

Of clips, a mean over clips is an option, and a choice of frames is one step rarer than all frames."""

RAREST = 2 * UNUSUAL + 1
"""Largest rank: that of an unusual protocol that truncates."""


@dataclass(frozen=True)
class Window:
    """Numbers around a published one that are counted: within ``half`` of it, and not above ``highest``."""

    half: Decimal
    highest: Decimal = Decimal("Infinity")
    unit: str = ""

    def __str__(self) -> str:
        """Half of the window with its unit."""
        return f"{self.half:f}{self.unit}"


WINDOWS = {
    "psnr": Window(Decimal("0.5"), unit=" dB"),
    "ssim": Window(Decimal("0.01"), highest=Decimal(1)),
    "lpips": Window(Decimal("0.02")),
}
"""Windows by metric."""
OTHER_WINDOW = Decimal("0.05")
"""Half of the window of any other metric, as a fraction of the published number."""


@dataclass(frozen=True)
class Printed:
    """A number as printed in a table."""

    text: str

    def __post_init__(self) -> None:
        """Raise ExplainError unless the text is a decimal number."""
        if not re.fullmatch(rf"-?(\d+(\.\d{{1,{MOST_DIGITS}}})?|\.\d{{1,{MOST_DIGITS}}})", self.text, re.ASCII):
            raise ExplainError(
                f"{self.text!r} is not a number as tables print it; give digits such as 28.17, at most {MOST_DIGITS} "
                "after the point"
            )

    @property
    def number(self) -> float:
        """The number as a float."""
        return float(self.text)

    @property
    def digits(self) -> int:
        """Number of digits after the decimal point."""
        return len(self.text.partition(".")[2])

    def how(self, value: float) -> str | None:
        """Return ``rounded`` or ``truncated`` if that prints ``value`` as this text, else None."""
        return texts_of(value, self.digits).get(Decimal(self.text))

    def window(self, metric: str) -> Window:
        """Return the window of a metric around this number."""
        half = (abs(Decimal(self.text)) * OTHER_WINDOW).quantize(Decimal(1).scaleb(-self.digits), ROUND_DOWN)
        return WINDOWS.get(metric, Window(half))


def texts_of(value: float, digits: int) -> dict[Decimal, str]:
    """Map the numbers that print a value with so many digits to ``rounded`` or ``truncated``."""
    if not math.isfinite(value):
        return {}
    unit = Decimal(1).scaleb(-digits)
    exact = Decimal(value).quantize(Decimal(1).scaleb(-MOST_DIGITS - 3))  # drop the rounding error of sums
    truncated = [exact.quantize(unit, ROUND_DOWN)] if digits >= TRUNCATED_DIGITS else []
    rounded = [exact.quantize(unit, ROUND_HALF_UP), Decimal(f"{value:.{digits}f}")]
    return dict.fromkeys(truncated, "truncated") | dict.fromkeys(rounded, "rounded")


@dataclass(frozen=True)
class Candidate:
    """A protocol and its mean value over all images."""

    protocol: MetricProtocol
    value: float
    signature: str | None
    """Signature of srbench's metric for this protocol; None if there is none."""
    suites: Mapping[str, str | None] = field(default_factory=dict)
    """Packaged suites with this protocol, over all frames or only some, each with the signature in its table."""
    is_default: bool = False
    """True for the protocol of the user: the name of the metric alone, or the column that was measured."""

    @property
    def rarity(self) -> int:
        """IN_A_SUITE (or the user's protocol), AN_OPTION or UNUSUAL."""
        if self.is_default:
            return IN_A_SUITE
        rarity = IN_A_SUITE if self.suites else AN_OPTION if self.protocol.text else UNUSUAL
        if self.protocol.frames:
            return min(rarity + 1, UNUSUAL)
        return max(rarity, AN_OPTION) if self.protocol.of_clips else rarity

    @property
    def commonness(self) -> tuple[object, ...]:
        """Sort key: first protocols of suites, then those that ``--metrics`` can compute, then unusual ones."""
        return self.rarity, self.protocol.order

    def rank(self, how: str) -> int:
        """Return the rarity, and rounding before truncation within it, as a number: the lower, the more common."""
        return 2 * self.rarity + (how == "truncated")


@dataclass(frozen=True)
class Match:
    """A protocol that prints a number, or comes near it."""

    candidate: Candidate
    how: str
    """``rounded`` or ``truncated`` if it prints the number; empty if it only comes near."""

    @property
    def protocol(self) -> MetricProtocol:
        """The protocol."""
        return self.candidate.protocol

    @property
    def value(self) -> float:
        """Its unrounded value over all images."""
        return self.candidate.value

    @property
    def rank(self) -> int:
        """The rank of the protocol and of how it prints the number."""
        return self.candidate.rank(self.how)


def matches(printed: Printed, candidates: Sequence[Candidate]) -> tuple[Match, ...]:
    """Return the protocols that print a number, the most common first;
    of equally common ones, by rounding, then the rest.
    """
    printing = [Match(candidate, how) for candidate in candidates if (how := printed.how(candidate.value))]
    return tuple(
        sorted(printing, key=lambda match: (match.rank, match.protocol.order, abs(match.value - printed.number)))
    )


def nearest(printed: Printed, candidates: Sequence[Candidate], most: int = 3) -> tuple[Match, ...]:
    """Return the protocols with the nearest values, whether they print the number or not."""
    finite = [candidate for candidate in candidates if math.isfinite(candidate.value)]
    finite.sort(key=lambda candidate: (abs(candidate.value - printed.number), candidate.commonness))
    return tuple(Match(candidate, printed.how(candidate.value) or "") for candidate in finite[:most])


@dataclass(frozen=True)
class Neighbours:
    """The numbers in the window around a published one, with as many digits, and what prints them."""

    count: int
    """Number of numbers in the window."""
    ranks: Mapping[ProtocolSetting, Mapping[Decimal, int]]
    """By the setting of the protocols, the numbers that are printed, each with the lowest rank of a protocol."""

    def of_rank(self, rank: int, settings: Iterable[ProtocolSetting] | None = None) -> set[Decimal]:
        """Return the numbers that a protocol of this rank or lower prints, in any of the settings (None: in all)."""
        chosen = self.ranks if settings is None else settings
        return {number for setting in chosen for number, each in self.ranks[setting].items() if each <= rank}

    def chance(self, rank: int, settings: Iterable[ProtocolSetting] | None = None) -> float:
        """Return the fraction of the numbers that a protocol of this rank or lower prints."""
        return len(self.of_rank(rank, settings)) / self.count


def neighbours(printed: Printed, candidates: Sequence[Candidate], window: Window) -> Neighbours:
    """Return the numbers in the window around a published one that protocols print."""
    number, unit = Decimal(printed.text), Decimal(1).scaleb(-printed.digits)
    highest = max(number, min(number + window.half, window.highest))
    count = 1 + int(window.half / unit) + int((highest - number) / unit)
    ranks: dict[ProtocolSetting, dict[Decimal, int]] = defaultdict(dict)
    for candidate in candidates:
        numbers = ranks[candidate.protocol.setting]
        for text, how in texts_of(candidate.value, printed.digits).items():
            if number - window.half <= text <= highest:
                numbers[text] = min(candidate.rank(how), numbers.get(text, candidate.rank(how)))
    return Neighbours(count, ranks)


def joint_chance(numbers: Sequence[Neighbours], rank: int) -> float:
    """Return the fraction of the rows of numbers, one from each window, that one common setting of this rank prints.

    A row that several settings print, unless they print all the same numbers, counts several times: the fraction is
    never too small, and needs no list of all rows.
    """
    common = set.intersection(*({*number.ranks} for number in numbers))
    printed = {tuple(frozenset(number.of_rank(rank, [setting])) for number in numbers) for setting in common}
    rows = sum(math.prod(map(len, row)) for row in printed)
    return rows / math.prod(number.count for number in numbers)


def by_luck(
    number: Neighbours, others: Sequence[tuple[Neighbours, Callable[[int], Iterable[ProtocolSetting]]]]
) -> float:
    """Return the fraction of the numbers in a window that would be called reproduced in place of the published one.

    They count alone, or with one of the other numbers of the row, each given with the settings in which protocols of a
    rank or lower print it.
    """
    lucky: set[Decimal] = set()
    for rank in range(RAREST + 1):
        found = [number.of_rank(rank)]
        for other, settings in others:
            if joint_chance([number, other], rank) * len(others) <= REPRODUCED:
                found.append(number.of_rank(rank, settings(rank)))
        lucky.update(*(numbers for numbers in found if len(numbers) / number.count <= REPRODUCED))
    return len(lucky) / number.count


def result_of(chance: float) -> str:
    """Return ``reproduced``, ``consistent`` or ``cannot tell`` for the chance of a match."""
    return "reproduced" if chance <= REPRODUCED else "consistent" if chance <= CONSISTENT else "cannot tell"


def chance_text(chance: float, words: str = "chance") -> str:
    """Return a chance with three digits, after words for it."""
    return f"{words} {chance:.3f}" if chance >= 0.0005 else f"{words} below 0.001"
