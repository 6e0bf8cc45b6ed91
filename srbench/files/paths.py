"""What a path leads to: a file, a folder, or something that must not be read."""

from __future__ import annotations

from pathlib import Path


def occupied(path: Path) -> bool:
    """True for a file, and for a folder that is not empty."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def no_file(path: Path) -> str:
    """Kind of a path that is no file, such as ``a folder``; empty for a file, and for a path that does not exist."""
    if path.is_file():
        return ""
    if path.is_dir():
        return "a folder"
    if path.is_symlink():
        return "a link that leads nowhere"
    return "a pipe, a socket or a device" if path.exists() else ""


def pipes_in(folder: Path) -> list[Path]:
    """Entries that are neither files nor folders: reading a pipe would wait for its other end."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.exists() and not path.is_dir() and no_file(path)]
