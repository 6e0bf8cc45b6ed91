"""Findings of ``srbench verify``: the rules, what each of them means for the table, and the verdict of them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from srbench.words import number_of

Severity = Literal["contradicted", "unverified", "note"]
"""Evidence against the table, something that nothing here can show, or a fact that a reader should know."""
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
Verdict = Literal["contradicted", "unverified", "values proven from their images", "proven"]
CODES: dict[Verdict, int] = {"contradicted": 1, "unverified": 3, "values proven from their images": 0, "proven": 0}
"""Exit codes."""
TOLERANCE = 1e-5
"""Largest relative difference of two values of one metric: what other processors and library versions change."""
SHOWN, NAMED = 20, 3
"""Number of lines of one severity that are printed, and of places in a line; the JSON has all."""


@dataclass(frozen=True)
class Rule:
    """A kind of finding."""

    severity: Severity
    title: str


_TITLES: dict[Severity, dict[str, str]] = {
    "contradicted": {
        "SRB001": "A file differs from its digest in SHA256SUMS.",
        "SRB002": "An image differs from its record.",
        "SRB003": "A line written by a finished command is missing.",
        "SRB004": "A line names a model, image, metric or command that the manifest does not list.",
        "SRB005": "A value measured again is different.",
        "SRB006": "An item sampled again by the same model on the same machine is a different image.",
        "SRB007": "The model is the one that was measured, but its weights are not the stated ones.",
        "SRB008": "A value or a column states a protocol other than its metric's, whose code is unchanged.",
        "SRB009": "The report shows numbers that do not follow from its records.",
        "SRB010": "A file of the report differs from its digest in report.json.",
    },
    "unverified": {
        "SRB101": "A file was not compared with SHA256SUMS, which is missing, damaged or left by an earlier command.",
        "SRB102": "An image is not here.",
        "SRB103": "A value was not measured again: not all of its images are here unchanged.",
        "SRB104": "A value was not measured again: its metric needs the outputs before rounding to 8 bits.",
        "SRB105": "A value was not measured again: its metric is not here or failed.",
        "SRB106": "A value was not measured again: its metric has a different protocol by now.",
        "SRB107": "A value of the model itself was not measured again: the model is not here, or the value is a time.",
        "SRB108": "An item was not sampled again: its model or its files are not here, or failed.",
        "SRB109": "An item sampled again by another model or on another machine is a different image.",
        "SRB110": "The report is older than its records.",
        "SRB111": "The report, of another version of srbench, shows numbers that do not follow from its records.",
        "SRB112": "A file of the report is not here, or the report was not finished.",
        "SRB113": "An image or a plot of the report is different when drawn again.",
        "SRB114": "Nothing was measured that could be verified.",
        "SRB115": "An image of the dataset has changed since it was measured, or is gone.",
    },
    "note": {
        "SRB201": "An image of the dataset could not be read.",
        "SRB202": "A model failed on an image.",
        "SRB203": "An item is left out of the table: its code, weights or images are not those of the manifest.",
        "SRB204": "An item was not sampled: the command did not finish.",
        "SRB205": "The code of a metric has changed since it was measured.",
        "SRB206": "A model is not here, or its code or weights have changed since it was measured.",
        "SRB207": "An item sampled again is equal up to rounding.",
        "SRB208": "The report shows the same numbers in words that this version of srbench does not use.",
        "SRB209": "Changes of a model or metric cannot be detected, so every command computes its outputs again.",
        "SRB210": "The dataset is not here, so its images were not compared.",
    },
}
RULES = {name: Rule(severity, title) for severity, titles in _TITLES.items() for name, title in titles.items()}
"""Rules by id: 0xx contradict the table, 1xx leave something unverified, 2xx are notes."""


REPORT = {"numbers": "SRB009", "changed": "SRB010", "older": "SRB110", "missing": "SRB112"}
"""Rules about the report by the kinds of ``srbench.reporting.check``."""


@dataclass(frozen=True)
class Finding:
    """A rule that applies to something."""

    rule: str
    where: str
    text: str

    @property
    def severity(self) -> Severity:
        """Severity of its rule."""
        return RULES[self.rule].severity

    def __str__(self) -> str:
        """One line: ``SRB102 unverified: images/near/a.png: is missing``."""
        return f"{self.rule} {self.severity}: {self.where}: {self.text}"


@dataclass
class Findings:
    """Results of a check: findings and counts."""

    folder: Path
    verified: int = 0
    """Number of values that were measured again from unchanged images, or of resampled outputs, and found equal."""
    contradicted: int = 0
    images: int = 0
    """Number of kept images that are byte for byte those of their records."""
    images_kept: int = 0
    sampled: int = 0
    """Number of items that were sampled again and found equal."""
    sampled_all: int = 0
    """Number of items that were to be sampled again, out of ``items``."""
    items: int = 0
    printed: int = 0
    """Number of files of the report that are what the records give, out of ``printed_all``."""
    printed_all: int = 0
    _findings: list[Finding] = field(default_factory=list)
    _left: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Number of unverified values by rule, place and reason."""

    def add(self, rule: str, where: str, text: str) -> None:
        """Note that a rule applies."""
        self._findings.append(Finding(rule, where, text))

    def leave(self, rule: str, where: str, text: str) -> None:
        """Count a value as unverified; those of one reason are one finding."""
        self._left[rule, where, text] += 1

    @property
    def unverified(self) -> int:
        """Number of values that could not be measured again."""
        return self._left.total()

    @property
    def findings(self) -> list[Finding]:
        """All findings, contradictions first."""
        left = [
            Finding(rule, where, f"{number_of(count, 'value')} not measured again: {text}")
            for (rule, where, text), count in self._left.items()
        ]
        return sorted([*self._findings, *left], key=lambda one: SEVERITIES.index(one.severity))

    def of(self, *severities: Severity) -> list[str]:
        """Findings of some severities, one line each."""
        return [str(one) for one in self.findings if one.severity in severities]

    @property
    def verdict(self) -> Verdict:
        """Conclusion about the table as a whole."""
        if self.of("contradicted"):
            return "contradicted"
        if self.of("unverified"):
            return "unverified"
        return "proven" if self.sampled == self.items else "values proven from their images"

    @property
    def holds(self) -> bool:
        """True if nothing was contradicted."""
        return self.verdict != "contradicted"

    @property
    def proven(self) -> bool:
        """True if every value was verified from its images, and every image from its model."""
        return self.verdict == "proven"

    def facts(self) -> dict[str, Any]:
        """The findings for JSON."""
        counts = ("verified", "unverified", "contradicted", "images", "images_kept", "sampled", "sampled_all", "items")
        return {
            "folder": str(self.folder),
            "verdict": self.verdict,
            "proven": self.proven,
            **{name: getattr(self, name) for name in (*counts, "printed", "printed_all")},
            "findings": [{"severity": one.severity, **vars(one)} for one in self.findings],
        }

    def text(self) -> str:
        """The findings for a reader; values that were not measured again are counted by reason, at the end."""
        lines: list[str] = []
        for severity in SEVERITIES:
            lines += _shortened(_grouped(one for one in self._findings if one.severity == severity))
        values = self.verified + self.unverified + self.contradicted
        parts = [
            f"{self.verified} of {values} values verified",
            f"{self.unverified} unverified",
            f"{self.contradicted} contradicted",
            f"{self.images} of {self.images_kept} images match their records",
            f"{self.sampled} of {self.items} items sampled again",
        ]
        if not self.items:  # the tables of a matrix
            parts = []
        if self.printed_all:
            parts.append(f"{self.printed} of {self.printed_all} files of the report match the records")
        lines.append(f"{self.folder}: {', '.join(parts) or 'nothing here to check'}: {self.verdict}")
        if self.unverified:
            lines.append(f"{self.unverified} of {number_of(values, 'value is', 'values are')} not measured again:")
            lines += _shortened(self._reasons())
        if self.sampled_all < self.items:
            images = f"the {'other ' if self.sampled_all else ''}images; --resample all samples them again"
            lines.append(f"Not checked: that the named models made {images}.")
        return "\n".join(lines)

    def _reasons(self) -> list[str]:
        """Number of unverified values by reason, most first: ``  22 of sigma: it sees outputs ... (SRB104)``."""
        counts: Counter[tuple[str, str]] = Counter()
        places: dict[tuple[str, str], list[str]] = {}
        for (rule, where, text), count in self._left.items():
            counts[rule, text] += count
            places.setdefault((rule, text), []).append(where)
        return [f"  {count} of {_named(places[one])}: {one[1]} ({one[0]})" for one, count in counts.most_common()]


def _named(places: Sequence[str]) -> str:
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return f"{', '.join(places[:NAMED])}{more}"


def _grouped(findings: Iterable[Finding]) -> list[str]:
    """One line for all places of which a rule says the same."""
    places: dict[tuple[str, str], list[str]] = {}
    for one in findings:
        places.setdefault((one.rule, one.text), []).append(one.where)
    return [str(Finding(rule, _named(found), text)) for (rule, text), found in places.items()]


def _shortened(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - SHOWN} more; --format json has all"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]
