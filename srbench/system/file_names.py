"""Names: the sentence that answers an unknown one, and which may become part of a path; what is no file."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

LONGEST = 200
"""Bytes of a name: most systems take 255 for a file, and endings, numbers and dots are put to it."""
FILE_NAME = f"a file name (at most {LONGEST} bytes of UTF-8, without slashes and control characters)"
"""In an error."""
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, bytes that are no UTF-8 (as Python has them in names), ends of lines and paragraphs."""


def unknown(kind: str, name: str, available: Iterable[str]) -> str:
    """``unknown model 'srflov'; did you mean srflow? available: bicubic, srflow``, in one line."""
    names = sorted(available)
    close = get_close_matches(name, names, n=1)
    question = f"did you mean {close[0]}? " if close else ""
    return f"unknown {kind} {name!r}; {question}available: {', '.join(names) or 'none'}"


def is_file_name(name: str) -> bool:
    """Can it be the name of one file, in the folder that it is put into and nowhere else, on one line of a list?"""
    if name in ("", ".", "..") or any(character in "/\\" for character in name) or printable(name) != name:
        return False
    return len(name.encode()) <= LONGEST


def printable(text: str, but: str = "") -> str:
    """The text, with all but ``but`` of what is no text to a terminal or a file written out as its code point."""
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in but and unicodedata.category(character) in _UNPRINTABLE
        else character
        for character in text
    )


def no_file(path: Path) -> str:
    """What is there in place of a file, links being followed: ``a folder``; empty for a file, and where nothing is."""
    if path.is_file():
        return ""
    if path.is_dir():
        return "a folder"
    if path.is_symlink():
        return "a link that leads nowhere"
    return "a pipe, a socket or a device" if path.exists() else ""


def pipes_in(folder: Path) -> list[Path]:
    """What is neither a file nor a folder, links being followed: whoever reads a pipe waits for its other end."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.exists() and not path.is_dir() and no_file(path)]
