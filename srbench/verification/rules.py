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
    "file-differs": Rule("contradicted", "A file differs from SHA256SUMS, or a saved image from its record."),
    "record-differs": Rule(
        "contradicted",
        "A record of a finished command is missing, does not belong to the manifest, or contradicts the dataset (how "
        "HR was cropped) or the weights (their training images).",
    ),
    "manifest-differs": Rule(
        "contradicted",
        "The manifest contradicts the unchanged code of a model or metric, or has a protocol, model or checkpoint that "
        "its command did not request.",
    ),
    "value-differs": Rule("contradicted", "A value measured again is different."),
    "sample-differs": Rule(
        "contradicted",
        "The same model on the same kind of machine makes another output, or another number of outputs with values "
        "outside -0.5..1.5.",
    ),
    "report-differs": Rule("contradicted", "The report says something that does not follow from the records."),
    "not-compared": Rule(
        "unverified",
        "A file is missing, SHA256SUMS is damaged or older than the records, or the report is of other records or "
        "images, or was written by other code.",
    ),
    "not-measured": Rule("unverified", "A value could not be measured again."),
    "not-sampled": Rule(
        "unverified",
        "An output could not be sampled again; or it differs, but the model has changed or ran on another machine.",
    ),
    "rounded": Rule("unverified", "An output that was sampled elsewhere is equal up to rounding."),
    "request-unknown": Rule(
        "unverified", "The dataset or suite that the command names is not on this machine, or has other images."
    ),
    "incomplete": Rule("unverified", "An image, output or value failed, was left out or is unfinished."),
    "needs-resampling": Rule(
        "note",
        "Only `--resample all` measures the value again: it needs outputs before rounding, as sigma does, or unsaved "
        "samples.",
    ),
    "depends-on-machine": Rule(
        "note",
        "A runtime or the like, not measured again, or a value that was measured elsewhere, equal up to rounding.",
    ),
    "made-again": Rule("note", "A saved image is missing, and was made again with the pixels of its record."),
    "code-changed": Rule("note", "The code of a model or metric has changed since the run."),
}
"""Rules by name."""


def rules_list() -> str:
    """Return the rules by severity as the Markdown lists of docs/verify.md."""
    lists = {
        severity: [f"- `{name}`: {rule.meaning}" for name, rule in RULES.items() if rule.severity == severity]
        for severity in SEVERITIES
    }
    return "\n\n".join("\n".join([f"**{severity}**", "", *lines]) for severity, lines in lists.items())
