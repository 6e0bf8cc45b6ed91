"""The rules of ``srbench verify``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["contradicted", "unverified", "note"]
"""Evidence against the table, something that could not be checked, or a fact that a reader should know."""
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Rule:
    """A kind of finding."""

    severity: Severity
    meaning: str


RULES = {
    "file-differs": Rule("contradicted", "A file differs from its SHA-256 in SHA256SUMS."),
    "image-differs": Rule("contradicted", "A saved image differs from its record."),
    "record-missing": Rule("contradicted", "A record that a finished command has written is missing."),
    "record-foreign": Rule(
        "contradicted", "A record names a model, image, metric, protocol or command that the manifest does not have."
    ),
    "value-differs": Rule("contradicted", "A value measured again is different."),
    "sample-differs": Rule(
        "contradicted", "An output sampled again by the same model on the same kind of machine is a different image."
    ),
    "weights-differ": Rule(
        "contradicted", "The model is the one that was measured, but its weights are not the stated."
    ),
    "report-differs": Rule("contradicted", "The report shows values that do not follow from the records."),
    "not-compared": Rule(
        "unverified", "A file is missing, or SHA256SUMS is missing, damaged or older than the records."
    ),
    "not-measured": Rule("unverified", "A value could not be measured again."),
    "not-sampled": Rule(
        "unverified", "An output could not be sampled again, or comes from another model or machine and is different."
    ),
    "dataset-unknown": Rule(
        "unverified",
        "The dataset is not here, or its images are not those that were measured: its name is not verified.",
    ),
    "incomplete": Rule("note", "An image, output or value failed, was left out or is not finished."),
    "rounded": Rule("note", "An output sampled again is equal up to rounding."),
    "code-changed": Rule("note", "The code or weights of a model or metric have changed since, or it is not here."),
}
"""Rules by name."""


def rules_table() -> str:
    """The rules as a Markdown table, as docs/verify.md shows it."""
    lines = [f"| `{name}` | {rule.severity} | {rule.meaning} |" for name, rule in RULES.items()]
    return "\n".join(["| rule | severity | meaning |", "|---|---|---|", *lines])
