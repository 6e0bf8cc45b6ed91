"""The rules of ``srbench verify``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["contradicted", "unverified", "note"]
"""``contradicted``: evidence against the table; ``unverified``: could not be checked; ``note``: good to know."""
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Rule:
    """A kind of finding."""

    severity: Severity
    meaning: str


RULES = {
    "file-differs": Rule(
        "contradicted", "A file differs from its SHA-256 in SHA256SUMS, or a saved image from its record."
    ),
    "record-differs": Rule(
        "contradicted",
        "A record that a finished command must have written is missing, a record names a model, image, metric, protocol or "
        "command that the manifest does not have, it states another HR before cropping than the same dataset, or other "
        "training images than the same weights.",
    ),
    "manifest-differs": Rule(
        "contradicted",
        "The manifest contradicts the unchanged code of a model or metric, or states a protocol, model or checkpoint that "
        "its command did not request.",
    ),
    "value-differs": Rule("contradicted", "A value measured again is different."),
    "sample-differs": Rule(
        "contradicted",
        "The same model on the same kind of machine made a different output when it was sampled again, or another number "
        "of outputs with values below -0.5 or above 1.5.",
    ),
    "report-differs": Rule("contradicted", "The report says something that does not follow from the records."),
    "not-compared": Rule(
        "unverified",
        "A file is missing, SHA256SUMS is missing, damaged or older than the records, or the report was written from other "
        "records or images, or by other code with other texts.",
    ),
    "not-measured": Rule("unverified", "A value could not be measured again."),
    "not-sampled": Rule(
        "unverified",
        "An output could not be sampled again, or differs but was sampled by a changed model or on another machine.",
    ),
    "request-unknown": Rule(
        "unverified",
        "The dataset or suite that the command names is not on this machine, or its images differ from those "
        "measured, so its name is not verified.",
    ),
    "incomplete": Rule("unverified", "An image, output or value failed, was left out or is unfinished."),
    "needs-resampling": Rule(
        "note",
        "A value that only `--resample all` measures again: it needs outputs before they are rounded to 8 bits, as sigma "
        "does, or samples that were not saved.",
    ),
    "depends-on-machine": Rule(
        "note", "A value that depends on the machine, such as a runtime, is not measured again."
    ),
    "made-again": Rule("note", "A saved image is missing, and was made again with the pixels of its record."),
    "rounded": Rule("note", "An output sampled again is equal up to rounding."),
    "code-changed": Rule("note", "The code of a model or metric has changed since the run."),
}
"""Rules by name."""


def rules_table() -> str:
    """Return the rules as the Markdown table of docs/verify.md."""
    lines = [f"| `{name}` | {rule.severity} | {rule.meaning} |" for name, rule in RULES.items()]
    return "\n".join(["| rule | severity | meaning |", "|---|---|---|", *lines])
