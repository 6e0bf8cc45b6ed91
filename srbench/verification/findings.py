"""Findings of a check, and the verdict that follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from srbench.files.atomic import write_whole
from srbench.files.hashes import sha256_file
from srbench.run_folder.folder import SUMS
from srbench.run_folder.manifest import now
from srbench.run_folder.verified import VERIFIED, Extent, Verdict, Verified, read_verified
from srbench.verification.rules import RULES, SEVERITIES, Severity
from srbench.words import listed, number_of

EXIT_CODES: dict[Verdict, int] = {
    "contradicted": 1,
    "unverified": 3,
    "verified from its files": 0,
    "proven": 0,
}
_CONSISTENT = "consistent with its runs"
"""What takes the place of a verdict on the report of a folder of runs without findings: nothing is measured for it."""
_LINES = 20
"""Largest number of lines printed of each severity; the JSON has all."""
_WIDTH = 60
"""Largest number of characters printed of a value."""


@dataclass(frozen=True)
class Finding:
    """A violation of a rule: where, and what is wrong."""

    rule: str
    where: str
    text: str

    @property
    def severity(self) -> Severity:
        """Severity of the rule."""
        return RULES[self.rule].severity


class Findings(Extent):
    """Results of a check: findings and counts."""

    folder: Path
    findings: list[Finding] = msgspec.field(default_factory=list)
    images: int = 0
    """Number of saved images that match their records."""
    images_kept: int = 0
    """Number of saved images."""
    images_made_again: int = 0
    """Number of saved images that are not in the folder, and were made again with the pixels of their records."""
    images_missing: int = 0
    """Number of the other saved images that are not in the folder."""
    has_report: bool = False
    """True if there is a report."""
    rounded_values: int = 0
    """Number of pixel values that are one grey level off if sampled again in another environment, at most 1 %."""
    rounded_outputs: int = 0
    """Number of outputs that have them."""
    recorded: list[str] = msgspec.field(default_factory=list)
    """Hardware, software and date of every command, as recorded: nothing can prove them."""
    runs: dict[str, int] | None = None
    """Number of runs by verdict, or damaged, if the check is of the report of a folder of runs."""

    def add(self, rule: str, where: str, text: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(rule, where, text))

    def leave(self, where: str, text: str) -> None:
        """Count a value that could not be measured again; ``text`` is the reason."""
        self.unverified += 1
        self.add("not-measured", where, text)

    def leave_to_resampling(self, title: str, text: str) -> None:
        """Count a value that ``--resample all`` may verify, if some items were not sampled again; ``text`` is why."""
        if self.tried == self.items:
            self.leave(title, text)
        else:
            self.unverified += 1
            self.add("needs-resampling", title, text)

    def leave_to_machine(self, title: str, text: str) -> None:
        """Count a value that depends on the machine, as a runtime does, so that it is not proven here."""
        self.unverified += 1
        self.add("depends-on-machine", title, text)

    def contradict(self, where: str, text: str) -> None:
        """Count a value that was measured again with a different result."""
        self.contradicted += 1
        self.add("value-differs", where, text)

    def of(self, *severities: Severity) -> list[str]:
        """Return the findings of some severities, one line each."""
        return [_line(each.rule, each.where, each.text) for each in self.findings if each.severity in severities]

    @property
    def verdict(self) -> Verdict:
        """Conclusion about the table as a whole."""
        severities = {each.severity for each in self.findings}
        if "contradicted" in severities:
            return "contradicted"
        if "unverified" in severities:
            return "unverified"
        return "proven" if 0 < self.items == self.sampled and not self.unverified else "verified from its files"

    @property
    def holds(self) -> bool:
        """True if nothing was contradicted."""
        return self.verdict != "contradicted"

    @property
    def proven(self) -> bool:
        """True if every value was reproduced from its images, and every image from its model."""
        return self.verdict == "proven"

    @property
    def exit_code(self) -> int:
        """1 if anything is contradicted, else 3 if anything is unverified, else 0."""
        return EXIT_CODES[self.verdict]

    def as_json(self) -> dict[str, Any]:
        """Return counts, verdict and findings as tables, contradictions first."""
        ordered = sorted(self.findings, key=lambda each: SEVERITIES.index(each.severity))
        return msgspec.structs.asdict(self) | {
            "folder": str(self.folder),
            "verdict": self.verdict if self.findings or self.runs is None else _CONSISTENT,
            "proven": self.proven,
            "findings": [{"severity": each.severity, **asdict(each)} for each in ordered],
        }

    def text(self) -> str:
        """Return the findings as text; its first line is the verdict,
        with what was reproduced and what ``--resample`` adds.
        """
        if self.runs is not None:
            runs = ", ".join(f"{count} {verdict}" for verdict, count in self.runs.items())
            verdict = self._verdict if self.findings else f"{_CONSISTENT}: {runs}"
            return "\n".join([f"{self.folder}: {verdict}", *self._lines()])
        lines = [f"{self.folder}: {self._verdict}: {self._extent()}", *self._lines()]
        unchanged = f"{self.images} of {number_of(self.images_kept, 'image')} unchanged"
        if self.images_made_again:
            unchanged += f", {self.images_made_again} made again"
        report = ["plots and images of the report compared with their hashes alone"] if self.has_report else []
        lines.append("; ".join([unchanged, *report]))
        if self.recorded:
            recorded = listed(self.recorded, separator="; ")
            lines.append(f"not proven, as recorded: {recorded}")
        return "\n".join(lines)

    def _extent(self) -> str:
        """Describe what was reproduced, and what was not."""
        if self.verdict == "unverified" and 0 < self.images_kept == self.images_missing and self.tried < self.items:
            return f"its images are not here: srbench verify {self.folder} --resample all makes them again"
        reproduced = "" if self.verdict == "verified from its files" else " reproduced from their images"
        done = [f"{self.verified} of {number_of(self.values, 'value')}{reproduced}"]
        if self.sampled:
            done.append(f"{self.sampled} of {number_of(self.items, 'item')} by their models")
        if self.contradicted:
            done.append(f"{number_of(self.contradicted, 'value')} contradicted")
        parts = [", ".join(done)]
        if self.rounded_values:
            values, outputs = number_of(self.rounded_values, "pixel value"), number_of(self.rounded_outputs, "output")
            parts.append(f"{values} of {outputs} {'is' if self.rounded_values == 1 else 'are'} one grey level off")
        count, words = self._left_by("needs-resampling")
        items = self.items - self.tried
        if count or items:
            left = " and ".join(filter(None, [words, number_of(items, "item") if items else ""]))
            verb = "is" if count + items == 1 else "are"
            parts.append(f"left out {verb} {left}, which srbench verify {self.folder} --resample all checks")
        count, words = self._left_by("depends-on-machine")
        if count:
            parts.append(f"{words} {'depends' if count == 1 else 'depend'} on the machine")
        return "; ".join(parts)

    def _left_by(self, rule: str) -> tuple[int, str]:
        """Return how many values a rule left, in a number and in words: ``4 values (sigma)``."""
        titles = [each.where for each in self.findings if each.rule == rule]
        return len(titles), f"{number_of(len(titles), 'value')} ({listed(dict.fromkeys(titles))})" if titles else ""

    @property
    def _verdict(self) -> str:
        return "unverified, nothing contradicted" if self.verdict == "unverified" else self.verdict

    def _lines(self) -> list[str]:
        """Return the findings, contradictions first."""
        return [
            line
            for severity in SEVERITIES
            for line in _shortened(_grouped(each for each in self.findings if each.severity == severity))
        ]


def differences(stated: Mapping[str, object], actual: Mapping[str, object]) -> str:
    """Describe the attributes of a model or metric that the manifest states falsely; empty if there are none."""
    return ", ".join(
        f"its {name} is {_short(actual.get(name))}, not {_short(stated.get(name))}"
        for name in {**stated, **actual}
        if stated.get(name) != actual.get(name)
    )


def _short(value: object) -> str:
    text = "not stated" if value is None else str(value) or "empty"
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


def _grouped(findings: Iterable[Finding]) -> list[str]:
    """Merge findings with the same rule and text into one line that names their locations."""
    locations: dict[tuple[str, str], Counter[str]] = {}
    for each in findings:
        locations.setdefault((each.rule, each.text), Counter())[each.where] += 1
    return [_line(rule, _named(list(where), where.total()), text) for (rule, text), where in locations.items()]


def _line(rule: str, where: str, text: str) -> str:
    return f"{RULES[rule].severity} ({rule}): {where}: {text}"


def _named(locations: Sequence[str], count: int) -> str:
    names = listed(locations)
    return f"{names} ({count} values)" if count > len(locations) else names


def _shortened(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - _LINES} more; --format json has all"] if len(lines) > _LINES else []
    return [*lines[:_LINES], *more]


def write_verified(findings: Findings) -> None:
    """Write the result of a check into its run folder, as verified.json.

    The result of an earlier check of the same files stays if it sampled more items and nothing is contradicted now.
    Nothing is written into a folder without SHA256SUMS. Raises OSError.
    """
    sums = findings.folder / SUMS
    if not sums.is_file():
        return
    earlier = read_verified(findings.folder)
    if earlier is not None and findings.holds and earlier.tried > findings.tried:
        return
    rules = Counter(finding.rule for finding in findings.findings if finding.severity != "note")
    verified = Verified(
        sums=sha256_file(sums),
        date=now(),
        srbench=version("sr-bench"),
        verdict=findings.verdict,
        rules=dict(sorted(rules.items())),
        **{name: getattr(findings, name) for name in Extent.__struct_fields__},
    )
    write_whole(findings.folder / VERIFIED, msgspec.json.format(msgspec.json.encode(verified), indent=1) + b"\n")
