"""Wording of messages: unknown names, one-line errors, counts, sizes; and the rule for names of files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST = 200
"""Largest length of a name in bytes: most systems allow 255, and srbench adds numbers and extensions."""
FILE_NAME = f"a file name (at most {LONGEST} bytes of UTF-8, without slashes and control characters)"
"""The rule of ``is_file_name``, for error messages."""
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, invalid UTF-8 (surrogates in Python), line and paragraph separators."""


def unknown(kind: str, name: str, available: Iterable[str]) -> str:
    """Message for an unknown name: ``unknown model 'srflov'; did you mean srflow? available: bicubic, srflow``."""
    names = sorted(available)
    question = f"{guess} " if (guess := did_you_mean(name, names)) else ""
    return f"unknown {kind} {name!r}; {question}available: {', '.join(names) or 'none'}"


def did_you_mean(name: str, available: Iterable[str]) -> str:
    """Question for an unknown name, ``did you mean srflow?``; empty if no available name is close."""
    by_lower_case = {each.lower(): each for each in available}
    close = get_close_matches(name.lower(), by_lower_case, n=1)
    return f"did you mean {by_lower_case[close[0]]}?" if close else ""


def one_line(error: object) -> str:
    """Message of an error in a single line; the name of its class if there is no message or formatting it fails."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return " ".join(text.split()) or type(error).__name__


def is_file_name(name: str) -> bool:
    """Return whether a file of this name stays inside its folder and takes a single line in a list."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or printable(name) != name:
        return False
    return len(name.encode()) <= LONGEST


def printable(text: str, but: str = "") -> str:
    """Replace unprintable characters, except those in ``but``, by their escaped code points."""
    if text.isprintable() or text.translate(dict.fromkeys(map(ord, but))).isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in but and unicodedata.category(character) in _UNPRINTABLE
        else character
        for character in text
    )


def listed(names: Iterable[str], most: int = 3, separator: str = ", ") -> str:
    """List at most ``most`` names: ``a, b, c and 4 more``."""
    names = list(names)
    return separator.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def joined(names: Sequence[str]) -> str:
    """Join names for a sentence: ``a, b and c``; empty for no names."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def number_of(count: int, noun: str, plural: str = "") -> str:
    """``1 image``, ``10 images``; by default the plural is the noun with an s."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def size_of(shape: Sequence[int]) -> str:
    """Format the shape (..., height, width) of an image as ``WIDTHxHEIGHT``."""
    return f"{shape[-1]}x{shape[-2]}"


def amount(value: float, unit: str) -> str:
    """Format a number with two significant digits and a decimal prefix: ``1.3 GB``."""
    prefixes = ["", "k", "M", "G", "T", "P", "E"]
    while value >= 999.5 and len(prefixes) > 1:
        value /= 1000
        del prefixes[0]
    digits = f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"
    return f"{digits} {prefixes[0]}{unit}"


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which numbers in names count:
    ``frame10`` comes after ``frame9``, however many zeros it has.
    """
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]
