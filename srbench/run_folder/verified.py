"""``verified.json``: what ``srbench verify`` has found in a run, and of which sums. Nothing here loads torch.

Whoever can write the file can invent it: it saves readers a check, and proves nothing to those who distrust its author.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from srbench.files.hashes import sha256_file
from srbench.run_folder.folder import SUMS

FILE = "verified.json"
Verdict = Literal["contradicted", "unverified", "values proven from their images", "proven"]


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
