"""Names: the sentence that answers an unknown one, and which may become part of a path."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(kind: str, name: str, available: Iterable[str]) -> str:
    """``unknown model 'srflov'; did you mean srflow? available: bicubic, srflow``, in one line."""
    names = sorted(available)
    close = get_close_matches(name, names, n=1)
    question = f"did you mean {close[0]}? " if close else ""
    return f"unknown {kind} {name!r}; {question}available: {', '.join(names) or 'none'}"


def is_file_name(name: str) -> bool:
    """Can it be the name of one file, in the folder that it is put into and nowhere else?"""
    return name not in ("", ".", "..") and not any(character in "/\\\0" for character in name)
