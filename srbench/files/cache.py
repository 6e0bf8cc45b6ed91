"""Cache folders, whose contents srbench can recompute or download again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Path ``srbench/KIND`` in ``$XDG_CACHE_HOME``, by default ``~/.cache``; the folder may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "srbench" / kind
