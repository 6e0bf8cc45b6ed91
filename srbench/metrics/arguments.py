"""Arguments of metrics, as typed after a name or given in Python,
converted to the types that the metric's class states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from inspect import signature
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from srbench.metrics import MetricError


def typed(what: str, factory: Callable[..., Any], given: Mapping[str, object]) -> dict[str, Any]:
    """Convert arguments to the types in the signature of a metric's class.

    A ``bool`` is typed as yes or no; a path becomes absolute. Without a type that a text can have, a whole number
    becomes an integer, and all else stays. Raises MetricError, which begins with ``what``, for a value that is not
    allowed.
    """
    kinds = _kinds(factory) if given else {}
    return {key: _converted(f"{what}: {key}", value, kinds.get(key, Any)) for key, value in given.items()}


@cache  # reading annotations takes longer than PSNR of a small image
def _kinds(factory: Callable[..., Any]) -> dict[str, Any]:
    try:
        return {name: each.annotation for name, each in signature(factory, eval_str=True).parameters.items()}
    except Exception:  # no signature, or names in annotations that only type checkers import
        return {}


def _converted(what: str, value: object, kind: Any) -> Any:  # noqa: ANN401 - any type
    if isinstance(value, str) and Path in (kind, *get_args(kind)):
        return Path(value).resolve()
    whole = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 19 else value
    words = {"yes": True, "no": False} if kind is bool else {}
    for candidate in (words.get(str(value), whole), value):  # a number first, for a type that is a number or text
        with suppress(msgspec.ValidationError, TypeError):  # TypeError: a type that msgspec does not know
            return msgspec.convert(candidate, kind, strict=False)
    if allowed := _allowed(kind):
        raise MetricError(f"{what} is {value!r}; give {allowed}")
    return whole


def _allowed(kind: Any) -> str:  # noqa: ANN401 - any type
    """The values of a type, in words; empty for a type that texts do not have."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        least = [meta.ge for meta in inner[1:] if isinstance(meta, msgspec.Meta) and meta.ge is not None]
        return " of at least ".join([_allowed(inner[0]), *map(str, least)])
    if origin is Literal or len(inner) > 1:
        words = [str(each) if origin is Literal else _allowed(each) for each in inner if each is not NoneType]
        return " or ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if all(words) else ""
    return {bool: "yes or no", int: "a whole number", float: "a number such as 0.5"}.get(kind, "")
