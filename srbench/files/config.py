"""Strict conversion between TOML files and dataclasses: nothing is ignored or guessed, and every fault has its path."""

from __future__ import annotations

import json
import math
import operator
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, reduce
from importlib.resources.abc import Traversable
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from srbench.files.paths import no_file
from srbench.interfaces import SRBenchError
from srbench.words import unknown

T = TypeVar("T")


class ConfigError(SRBenchError):
    """A configuration that cannot be read or does not fit its dataclass."""


def load_toml(path: Path | Traversable, cls: type[T], changes: Sequence[str] = ()) -> T:
    """Read a TOML file as an instance of the dataclass ``cls``.

    ``changes`` replace values of the file and are given as typed: ``training.steps=100``.
    Raises ConfigError listing every fault with its path (``training.steps: missing``): unknown keys, missing keys, and
    values of the wrong type (an integer is accepted for a float; nothing else is converted).
    """
    table = read_toml(path)
    for change in changes:
        _change(table, change)
    return structure(table, cls, f"{path} with {' '.join(changes)}" if changes else str(path))


def load_network(folder: Traversable, name: str, cls: type[T]) -> T:
    """Read only the table ``network`` of a preset, which suffices to build the network.

    Raises ConfigError as ``load_preset`` does.
    """
    path = _preset_path(folder, name)
    table = read_toml(path)
    if not isinstance(table.get("network"), dict):
        raise ConfigError(f"{path}: has no table network; copy it from another preset")
    return structure(table["network"], cls, f"{path}: network")


def load_preset(folder: Traversable, name: str, cls: type[T], changes: Sequence[str] = (), kind: str = "preset") -> T:
    """Read ``<name>.toml`` in a folder of presets, or the file ``name`` if it ends in ``.toml``.

    Raises ConfigError as ``load_toml`` does, and for an unknown name, listing the presets; ``kind`` is what the message
    calls them.
    """
    return load_toml(_preset_path(folder, name, kind), cls, changes)


def preset_names(folder: Traversable) -> list[str]:
    """Names of the presets in a folder, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _preset_path(folder: Traversable, name: str, kind: str = "preset") -> Path | Traversable:
    if name.endswith(".toml"):
        return Path(name)
    if name not in preset_names(folder):
        raise ConfigError(f"{unknown(kind, name, preset_names(folder))}; or name a TOML file")
    return folder / f"{name}.toml"


def to_toml(value: Any) -> str:  # noqa: ANN401 - a dataclass or a table
    """Write a dataclass as TOML that ``load_toml`` can read; None is omitted, because TOML cannot express it."""
    return "\n".join(_toml_lines(msgspec.to_builtins(value), ())) + "\n"


def _toml_lines(table: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a table; ``names`` are its own name and those of the tables around it."""
    if names:
        yield f"\n[{'.'.join(map(_toml_key, names))}]"
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{_toml_key(key)} = {_toml_value(value)}"
    for key, value in table.items():  # last, because values after an inner table would belong to it
        if isinstance(value, Mapping):
            yield from _toml_lines(value, (*names, key))


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _toml_value(value: Any) -> str:  # noqa: ANN401 - any value but a table
    """Format a TOML value: strings as in JSON, floats as in Python."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def structure(table: Mapping[str, Any], cls: type[T], source: str) -> T:
    """Convert nested tables to ``cls``, a dataclass or a dictionary of dataclasses.

    Raises ConfigError that begins with ``source`` and lists every fault with its path.
    """
    faults: list[str] = []
    value: T = _read(table, cls, "", faults)
    if faults:
        raise ConfigError(f"{source}: {'; '.join(faults)}")
    return value


def _read(value: Any, kind: Any, path: str, faults: list[str]) -> Any:  # noqa: ANN401 - any type
    """Convert a value to ``kind``. Faults are appended to ``faults``; the result is then meaningless."""
    try:
        return _converted(value, kind, path, faults)
    except msgspec.ValidationError as error:  # such as: Expected `int`, got `str` - at `$[1]`
        text, _, place = str(error).replace("`", "").partition(" - at $")
        faults.append(_at(path + place, text[0].lower() + text[1:]))
    except (ValueError, SRBenchError) as error:
        faults.append(_at(path, str(error)))
    return None


def _converted(value: Any, kind: Any, path: str, faults: list[str]) -> Any:  # noqa: ANN401 - any type
    """Like ``_read``, but raises ValueError or SRBenchError for a fault of the value itself, not of its parts."""
    inner = get_args(kind)
    if kind in _READERS:
        return _READERS[kind](value)
    if (is_dataclass(kind) or get_origin(kind) is dict) and not isinstance(value, Mapping):
        raise ValueError("expected a table")
    if is_dataclass(kind):
        return _read_table(value, kind, path, faults)
    if get_origin(kind) is dict:
        return {key: _read(part, inner[1], _below(path, key), faults) for key, part in value.items()}
    if NoneType in inner:
        not_none = reduce(operator.or_, (option for option in inner if option is not NoneType))
        return None if value is None else _converted(value, not_none, path, faults)
    if get_origin(kind) is tuple and _is_read_here(inner[0]) and isinstance(value, list | tuple):
        return tuple(_read(part, inner[0], f"{path}[{place}]", faults) for place, part in enumerate(value))
    if get_origin(kind) is Literal and value not in inner:
        raise ValueError(f"not one of {', '.join(map(repr, inner))}")
    return msgspec.convert(value, kind)


def _read_table(table: Mapping[str, Any], cls: Any, path: str, faults: list[str]) -> Any:  # noqa: ANN401 - any dataclass
    """Convert a table to a dataclass; None if that adds to ``faults``."""
    before = len(faults)
    known = {field.name: field for field in fields(cls)}
    faults += [_at(path, unknown("key", key, known)) for key in sorted(table.keys() - known)]
    values = {}
    for name, field in known.items():
        if name in table:
            values[name] = _read(table[name], _kinds(cls)[name], _below(path, name), faults)
        elif field.default is MISSING and field.default_factory is MISSING:
            faults.append(f"{_below(path, name)}: missing")
    return cls(**values) if len(faults) == before else None


def _is_read_here(kind: Any) -> bool:  # noqa: ANN401 - any type
    """True for a type that msgspec cannot read, or for which it would accept unknown keys."""
    return is_dataclass(kind) or kind in _READERS


_kinds = cache(get_type_hints)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _at(path: str, fault: str) -> str:
    return f"{path}: {fault}" if path else fault


_READERS: dict[Any, Callable[[object], Any]] = {}
"""Readers of the types passed to ``register``."""


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """Read a TOML file as tables. Raises ConfigError."""
    try:
        if isinstance(path, Path) and (kind := no_file(path)):
            raise ConfigError(f"{path}: {kind}, not a file; name a TOML file")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a TOML file") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, wrong syntax, or numbers with too many digits
        raise ConfigError(f"{path}: not TOML ({error}); correct the file") from None


def register(kind: Any, read: Callable[[object], Any]) -> None:  # noqa: ANN401 - any type, including unions
    """Let ``structure`` read values of a type with ``read``, which raises ValueError for invalid values."""
    _READERS[kind] = read


def require_range(config: object, names: Sequence[str], low: float, high: float = math.inf) -> None:
    """Raise ValueError unless all named fields are finite numbers from ``low`` to ``high``."""
    for name in names:
        value = getattr(config, name)
        if not low <= value <= high or math.isinf(value):
            limits = f"{low} or more" if math.isinf(high) else f"{low} to {high}"
            raise ValueError(f"{name} is {value}; it has to be {limits}")


def _change(table: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    *outer, key = (part.strip() for part in path.split("."))
    if not equals or not all((*outer, key)):
        raise ConfigError(f"{change!r} is not a change; write KEY=VALUE, such as training.learning_rate=1e-4")
    for name in outer:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{change!r}: {name} is a value, not a table; it has no {key}")
    table[key] = _typed(text.strip(), change)


def _typed(text: str, change: str) -> Any:  # noqa: ANN401 - any value of TOML
    """Parse a TOML value; a single word is a string without quotes, for convenience in a shell."""
    if re.fullmatch(r"[A-Za-z][\w-]*", text) and text not in ("true", "false", "inf", "nan"):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        raise ConfigError(f"{change!r}: {text!r} is not a TOML value; write 3, 1e-4, true, [1, 2] or a word") from None
