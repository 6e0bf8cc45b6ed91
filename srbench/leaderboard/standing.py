"""Standing of a run: verified, unverified or contradicted, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from srbench.benchmark.findings import RULES
from srbench.benchmark.verified import read_verified
from srbench.leaderboard.summary import Summary

State = Literal["verified", "unverified", "contradicted"]


@dataclass(frozen=True)
class Standing:
    """Standing of a run."""

    state: State
    words: str
    """When and how much was verified, or why not."""
    rule: str = ""
    """Rule that a contradicted run breaks."""


def standing_of(run: Path, summary: Summary) -> Standing:
    """Standing of a run by its records, and by the last ``srbench verify`` if that was about them."""
    for rule, where, text in summary.findings:
        if RULES[rule].severity == "contradicted":
            return Standing("contradicted", f"{where}: {text}", rule)
    found = read_verified(run)
    if found is None:
        return Standing("unverified", "no srbench verify of these records")
    if found.verdict == "contradicted":
        rule = min(found.rules, default="")
        return Standing("contradicted", RULES[rule].title if rule in RULES else "", rule)
    state: State = "verified" if found.verified else "unverified"
    return Standing(state, f"{found.date[:10]}: {found.words}")
