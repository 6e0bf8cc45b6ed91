"""Names that a user types: the sentence that answers an unknown one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(kind: str, name: str, available: Iterable[str]) -> str:
    """``unknown model 'srflov'; did you mean srflow? available: bicubic, srflow``, in one line."""
    names = sorted(available)
    close = get_close_matches(name, names, n=1)
    question = f"did you mean {close[0]}? " if close else ""
    return f"unknown {kind} {name!r}; {question}available: {', '.join(names) or 'none'}"
