"""``verified.json``: the result of the last ``srbench verify``. Nothing here loads torch.

The file is no proof, because anyone who can write it can forge it; it saves readers who trust its author a check.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import msgspec

from srbench.files.hashes import sha256_file
from srbench.run_folder.folder import SUMS

VERIFIED = "verified.json"
Verdict = Literal["contradicted", "unverified", "verified from its files", "proven"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""Verdicts, the strongest proof last."""


class Extent(msgspec.Struct, kw_only=True):
    """What a check measured and sampled again."""

    verified: int = 0
    """Number of values measured again with the same result."""
    unverified: int = 0
    """Number of values that were not measured again."""
    contradicted: int = 0
    """Number of values measured again with a different result."""
    sampled: int = 0
    """Number of items, out of ``items``, sampled again with the same result."""
    items: int = 0
    """Number of items of the run."""
    tried: int = 0
    """Number of items that the check was asked to sample again."""

    @property
    def values(self) -> int:
        """Number of values of the run."""
        return self.verified + self.unverified + self.contradicted


class Verified(Extent, forbid_unknown_fields=True):
    """Result of a check; void once SHA256SUMS of the run has changed."""

    sums: str
    """SHA-256 of SHA256SUMS, and so of manifest, records and images."""
    date: str
    srbench: str
    """Version of srbench that checked."""
    verdict: Verdict
    rules: dict[str, int]
    """Number of findings by rule, without notes."""

    @property
    def words(self) -> str:
        """Extent of the check: ``240 of 240 values and 3 of 30 items``."""
        return f"{self.verified} of {self.values} values and {self.sampled} of {self.items} items"


def read_verified(run: Path) -> Verified | None:
    """Read the result of the last check of a run; None if it is missing, damaged or void."""
    try:
        verified = msgspec.json.decode((run / VERIFIED).read_bytes(), type=Verified)
        return verified if verified.sums == sha256_file(run / SUMS) else None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
