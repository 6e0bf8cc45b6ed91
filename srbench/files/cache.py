"""Folders for what srbench can make or fetch again."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def cache_folder(kind: str) -> Path:
    """``srbench/KIND`` in the user's cache (``~/.cache`` or ``$XDG_CACHE_HOME`` on Linux); it need not exist."""
    return platformdirs.user_cache_path("srbench", appauthor=False) / kind
