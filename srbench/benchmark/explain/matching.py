"""Protocols that print a number at its digits, the nearest and most common first."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from srbench.benchmark import BenchmarkError
from srbench.metrics.protocols.table import Protocol

MOST_DIGITS = 8


@dataclass(frozen=True)
class Printed:
    """A number as it stands in a table."""

    text: str

    def __post_init__(self) -> None:
        """Raises BenchmarkError for anything but a decimal number."""
        if not re.fullmatch(rf"-?\d+(\.\d{{1,{MOST_DIGITS}}})?", self.text, re.ASCII):
            raise BenchmarkError(
                f"{self.text!r} is not a number as tables print it; give digits such as 28.17, at most {MOST_DIGITS} "
                "after the point"
            )

    @property
    def number(self) -> float:
        """Value of the text."""
        return float(self.text)

    @property
    def digits(self) -> int:
        """Digits after the point."""
        return len(self.text.partition(".")[2])

    def how(self, value: float) -> str | None:
        """``rounded`` or ``truncated`` if a value is printed as this text by that; else None."""
        if not math.isfinite(value):
            return None
        unit, wanted = Decimal(1).scaleb(-self.digits), Decimal(self.text)
        exact = Decimal(value).quantize(Decimal(1).scaleb(-MOST_DIGITS - 3))  # without the last bits of sums
        if wanted in (exact.quantize(unit, ROUND_HALF_UP), Decimal(f"{value:.{self.digits}f}")):
            return "rounded"
        return "truncated" if exact.quantize(unit, ROUND_FLOOR) == wanted else None


@dataclass(frozen=True)
class Candidate:
    """A protocol and its value of all images."""

    protocol: Protocol
    value: float
    signature: str | None
    """Signature of the metric of srbench that computes it; None if none does."""
    suites: Mapping[str, str | None] = field(default_factory=dict)
    """Packaged suites that have it, each with the signature in its table."""

    @property
    def commonness(self) -> tuple[object, ...]:
        """Sort key: protocols of suites, then others of ``--metrics``, then the rest, each in the order of the table."""
        kind = 0 if self.suites else 1 if self.protocol.text else 2
        return kind, self.protocol.order


@dataclass(frozen=True)
class Match:
    """A protocol that prints a number, or is near it."""

    candidate: Candidate
    how: str
    """``rounded`` or ``truncated`` if it prints the number; empty if it is only near."""

    @property
    def protocol(self) -> Protocol:
        """The protocol."""
        return self.candidate.protocol

    @property
    def value(self) -> float:
        """Its value of all images, with all digits."""
        return self.candidate.value


def matches(printed: Printed, candidates: Sequence[Candidate]) -> tuple[Match, ...]:
    """Protocols that print a number: by rounding first, then by truncation; each the most common first."""
    found = [Match(candidate, how) for candidate in candidates if (how := printed.how(candidate.value))]
    return tuple(
        sorted(found, key=lambda match: (match.how, match.candidate.commonness, abs(match.value - printed.number)))
    )


def nearest(printed: Printed, candidates: Sequence[Candidate], most: int = 3) -> tuple[Match, ...]:
    """The nearest protocols, whatever they print."""
    finite = [candidate for candidate in candidates if math.isfinite(candidate.value)]
    finite.sort(key=lambda candidate: (abs(candidate.value - printed.number), candidate.commonness))
    return tuple(Match(candidate, printed.how(candidate.value) or "") for candidate in finite[:most])
