"""Kinds of paths: a file, a folder, or something that must not be read, such as a pipe. The folder of caches."""

from __future__ import annotations

import os
from pathlib import Path


def occupied(path: Path) -> bool:
    """Return whether a path is a file or a non-empty folder."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def no_file(path: Path) -> str:
    """Kind of a path that is not a file, such as ``a folder``; empty for a file or a path that does not exist."""
    if path.is_file():
        return ""
    if path.is_dir():
        return "a folder"
    if path.is_symlink():
        return "a link that leads nowhere"
    return "a pipe, a socket or a device" if path.exists() else ""


def no_place(folder: Path) -> str:
    """Why no folder can be made at a path, such as ``a file, not a folder``; empty if it is there or can be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        return f"{no_file(there) or 'a file'}, not a folder" if there == folder else f"{there} is not a folder"
    return "" if os.access(there, os.W_OK) else "cannot be written"


def pipes_in(folder: Path) -> list[Path]:
    """Entries that are neither files nor folders, such as pipes, whose reading could block."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in entries if path.exists() and not path.is_dir() and no_file(path)]


def cache_folder(kind: str) -> Path:
    """Folder, which may not exist, of what can be recomputed or downloaded again.

    It is ``srbench/KIND`` in ``$XDG_CACHE_HOME``, by default ``~/.cache``.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "srbench" / kind
