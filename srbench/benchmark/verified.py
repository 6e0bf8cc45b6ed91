"""``verified.json``: what ``srbench verify`` has found in a run, and of which sums. Nothing here loads torch.

Whoever can write the file can invent it: it saves readers a check, and proves nothing to those who distrust its author.
"""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from pathlib import Path

import msgspec

from srbench.benchmark.findings import Findings, Verdict
from srbench.files.atomic import write_whole
from srbench.files.hashes import sha256_file
from srbench.run_folder.folder import SUMS
from srbench.run_folder.manifest import now

FILE = "verified.json"
_OF_SAMPLING = {"SRB005", "SRB006"}
"""Contradictions that a check of fewer items may not see; all others are seen by every check."""


class Verified(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Result of a check; void once the sums of the run are others."""

    sums: str
    """SHA-256 of SHA256SUMS, which holds those of manifest, records and images."""
    date: str
    srbench: str
    """Version that checked."""
    verdict: Verdict
    verified: int
    """Number of values that were measured again and are equal."""
    unverified: int
    contradicted: int
    sampled: int
    """Number of items that were sampled again and are equal, out of ``items``."""
    items: int
    rules: dict[str, int]
    """Number of findings by rule, without notes."""
    tried: int
    """Number of items that were to be sampled again."""

    @property
    def reach(self) -> tuple[int, int]:
        """Extent of the check: items sampled again and values measured again, equal or not."""
        return self.tried, self.verified + self.contradicted

    @property
    def values(self) -> int:
        """Number of values of the run."""
        return self.verified + self.unverified + self.contradicted

    @property
    def words(self) -> str:
        """The extent in words: ``240 of 240 values and 3 of 30 items``."""
        return f"{self.verified} of {self.values} values and {self.sampled} of {self.items} items"


def read_verified(run: Path) -> Verified | None:
    """Result of the last check of a run; None if there is none, or it is damaged or about other sums."""
    try:
        found = msgspec.json.decode((run / FILE).read_bytes(), type=Verified)
        return found if found.sums == sha256_file(run / SUMS) else None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def write_verified(found: Findings) -> None:
    """Write what a check has found into its run folder, unless an earlier one of equal sums has looked at more.

    A contradiction that every check would see again does not outlast one that no longer sees it. Nothing is written
    into a folder without SHA256SUMS. Raises OSError.
    """
    if not (found.folder / SUMS).is_file():
        return
    rules = Counter(one.rule for one in found.findings if one.severity != "note")
    new = Verified(
        sha256_file(found.folder / SUMS),
        now(),
        version("sr-bench"),
        found.verdict,
        found.verified,
        found.unverified,
        found.contradicted,
        found.sampled,
        found.items,
        dict(sorted(rules.items())),
        found.sampled_all,
    )
    before = read_verified(found.folder)
    repaired = before and before.verdict == "contradicted" and _OF_SAMPLING.isdisjoint(before.rules)
    if before and not repaired and found.holds and before.reach > new.reach:
        return
    write_whole(found.folder / FILE, msgspec.json.format(msgspec.json.encode(new), indent=1) + b"\n")
