"""Folders for what srbench can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """``srbench/KIND`` in ``$XDG_CACHE_HOME``, by default ``~/.cache``; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "srbench" / kind
