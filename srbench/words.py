"""Words of messages: unknown names, errors in one line, counts, and names that can be file names."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST = 200
"""Longest name in bytes: most systems allow 255, and endings, numbers and dots are added."""
FILE_NAME = f"a file name (at most {LONGEST} bytes of UTF-8, without slashes and control characters)"
"""The rule, for errors."""
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, invalid UTF-8 (surrogates in Python), line and paragraph separators."""


def unknown(kind: str, name: str, available: Iterable[str]) -> str:
    """``unknown model 'srflov'; did you mean srflow? available: bicubic, srflow``, in one line."""
    names = sorted(available)
    close = get_close_matches(name, names, n=1)
    question = f"did you mean {close[0]}? " if close else ""
    return f"unknown {kind} {name!r}; {question}available: {', '.join(names) or 'none'}"


def one_line(error: object) -> str:
    """Message of an error in one line; its class if it has none, or if making it fails."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return " ".join(text.split()) or type(error).__name__


def is_file_name(name: str) -> bool:
    """True if a file of this name stays inside its folder and takes one line in a list."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or printable(name) != name:
        return False
    return len(name.encode()) <= LONGEST


def printable(text: str, but: str = "") -> str:
    """The text with unprintable characters, except those in ``but``, as their code points."""
    if text.isprintable() or text.translate(dict.fromkeys(map(ord, but))).isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in but and unicodedata.category(character) in _UNPRINTABLE
        else character
        for character in text
    )


def listed(names: Iterable[str], most: int = 3) -> str:
    """``a, b, c and 4 more``."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def number_of(count: int, one: str, many: str = "") -> str:
    """``1 image``, ``10 images``; ``many`` is the plural where it is not ``one`` with an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def size_of(shape: Sequence[int]) -> str:
    """``WIDTHxHEIGHT``, as people read it, of the shape (..., height, width) of an image."""
    return f"{shape[-1]}x{shape[-2]}"
