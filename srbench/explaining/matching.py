"""Protocols whose value, rounded or truncated, prints as a published number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from srbench.explaining import ExplainError

if TYPE_CHECKING:  # torch is not needed to compare numbers
    from srbench.metrics.protocols.table import MetricProtocol

MOST_DIGITS = 8


@dataclass(frozen=True)
class Printed:
    """A number as printed in a table."""

    text: str

    def __post_init__(self) -> None:
        """Raise ExplainError unless the text is a decimal number."""
        if not re.fullmatch(rf"-?\d+(\.\d{{1,{MOST_DIGITS}}})?", self.text, re.ASCII):
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
        if not math.isfinite(value):
            return None
        unit, wanted = Decimal(1).scaleb(-self.digits), Decimal(self.text)
        exact = Decimal(value).quantize(Decimal(1).scaleb(-MOST_DIGITS - 3))  # drop the rounding error of sums
        if wanted in (exact.quantize(unit, ROUND_HALF_UP), Decimal(f"{value:.{self.digits}f}")):
            return "rounded"
        return "truncated" if exact.quantize(unit, ROUND_FLOOR) == wanted else None


@dataclass(frozen=True)
class Candidate:
    """A protocol and its mean value over all images."""

    protocol: MetricProtocol
    value: float
    signature: str | None
    """Signature of srbench's metric for this protocol; None if there is none."""
    suites: Mapping[str, str | None] = field(default_factory=dict)
    """Packaged suites with this protocol, each with the signature in its table."""

    @property
    def commonness(self) -> tuple[object, ...]:
        """Sort key: first protocols of suites, then those that ``--metrics`` can compute, then the rest."""
        kind = 0 if self.suites else 1 if self.protocol.text else 2
        return kind, self.protocol.order


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


def matches(printed: Printed, candidates: Sequence[Candidate]) -> tuple[Match, ...]:
    """Return the protocols that print a number, first by rounding, then by truncation, the most common first."""
    printing = [Match(candidate, how) for candidate in candidates if (how := printed.how(candidate.value))]
    return tuple(
        sorted(printing, key=lambda match: (match.how, match.candidate.commonness, abs(match.value - printed.number)))
    )


def nearest(printed: Printed, candidates: Sequence[Candidate], most: int = 3) -> tuple[Match, ...]:
    """Return the protocols with the nearest values, whether they print the number or not."""
    finite = [candidate for candidate in candidates if math.isfinite(candidate.value)]
    finite.sort(key=lambda candidate: (abs(candidate.value - printed.number), candidate.commonness))
    return tuple(Match(candidate, printed.how(candidate.value) or "") for candidate in finite[:most])
