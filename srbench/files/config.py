"""Strict conversion between TOML files and dataclasses: nothing is ignored or guessed, and a fault has its path."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from importlib.resources.abc import Traversable
from pathlib import Path
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
    Raises ConfigError naming the first fault with its path (``training.steps: missing``): an unknown or missing key, or
    a value of the wrong type. An integer is accepted for a float; nothing else is converted.
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


def load_preset(
    folder: Traversable,
    name: str | Mapping[str, Any],
    cls: type[T],
    changes: Sequence[str] = (),
    kind: str = "preset",
) -> T:
    """Read ``<name>.toml`` in a folder of presets, the file ``name`` if it ends in ``.toml``, or tables.

    Raises ConfigError as ``load_toml`` does, and for an unknown name, listing the presets; ``kind`` is what the message
    calls them.
    """
    if isinstance(name, Mapping):
        return structure(name, cls, kind)
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
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _quoted(key)


def _toml_value(value: Any) -> str:  # noqa: ANN401 - any value but a table
    """Format a TOML value: strings as in JSON, floats as in Python."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return repr(value) if isinstance(value, float) else _quoted(value)


def _quoted(value: Any) -> str:  # noqa: ANN401 - text, a number or a boolean
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # which TOML, unlike JSON, refuses


def structure(table: Mapping[str, Any], cls: type[T], source: str) -> T:
    """Convert nested tables to ``cls``, a dataclass or a dictionary of dataclasses.

    Fields of another class are read by its class method ``read``, which raises ValueError for invalid values.
    Raises ConfigError that begins with ``source`` and names the first fault with its path.
    """
    try:
        converted = msgspec.convert(table, cls, dec_hook=lambda kind, value: kind.read(value))
        value: T = _constructed(table, converted, "$")
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_fault(str(error), table, cls)}") from None
    return value


def _constructed(table: Any, value: Any, path: str) -> Any:  # noqa: ANN401 - any type
    """Return what msgspec made of ``table``, with every dataclass made by its constructor, which stores its defaults.

    msgspec leaves them to the class, so ``vars`` and files would lack them; and it ignores unknown keys.
    Raises ValidationError for an unknown key.
    """
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        for key in table:
            if key not in names:
                raise msgspec.ValidationError(f"{unknown('key', key, names)} - at `{path}`")
        return replace(value, **{key: _constructed(table[key], getattr(value, key), f"{path}.{key}") for key in table})
    if isinstance(value, dict):
        return {key: _constructed(table[key], inner, f"{path}.{key}") for key, inner in value.items()}
    if isinstance(value, tuple | list) and isinstance(table, tuple | list):
        return type(value)(_constructed(table[index], inner, f"{path}[{index}]") for index, inner in enumerate(value))
    return value


def _fault(message: str, table: object, cls: Any) -> str:  # noqa: ANN401 - any type
    """Return a message of msgspec, such as "Expected `int`, got `str` - at `$.training.steps`", in our words."""
    text, _, path = message.replace("`", "").partition(" - at $")
    value, verb = _value_at(table, path), ": "
    if text.startswith("Object missing required field "):
        path, text = f"{path}.{text.split()[-1]}", "missing"
    elif text.startswith("Invalid enum value "):
        given, choices = "another value" if value is None else repr(value), ", ".join(map(str, _choices(cls, path)))
        verb, text = " is ", f"{given}; choose one of {choices}"
    elif (limit := re.fullmatch(r"Expected \w+ (?:of length )?(>=|<=) (\S+)", text)) and value is not None:
        allowed = f"{limit[2]} or more" if limit[1] == ">=" else f"at most {limit[2]}"
        verb, text = " is ", f"{value}; it has to be {allowed}" if value not in ([], ()) else "empty; name at least one"
    elif text.startswith("Expected "):
        for theirs, ours in {" | null": "", " | ": " or ", "object": "a table", "array": "a list"}.items():
            text = text.replace(theirs, ours)
    text = text[0].lower() + text[1:]
    path = re.sub(r"\[(\d+)\]\.?", lambda index: f" {int(index[1]) + 1}: ", path.removeprefix("."))  # counted from 1
    return f"{path.removesuffix(': ')}{verb}{text}" if path else text


def _value_at(table: Any, path: str) -> Any:  # noqa: ANN401 - any type
    """Return the value at a path such as ``.metrics[0].group``; None inside a dictionary, whose keys msgspec hides."""
    for name, index in re.findall(r"\.(\w+)|\[(\d+|\.{3})\]", path):
        if index == "...":
            return None
        table = table[int(index) if index else name]
    return table


def _choices(kind: Any, path: str) -> tuple[object, ...]:  # noqa: ANN401 - any type
    """Return the values of the ``Literal`` at a path such as ``.metrics[0].group``."""
    for name in re.findall(r"\.(\w+)", path):
        kind = get_type_hints(next((inner for inner in get_args(kind) if is_dataclass(inner)), kind))[name]
    return get_args(kind if get_origin(kind) is Literal else get_args(kind)[0])


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """Read a TOML file as tables. Raises ConfigError."""
    try:
        if isinstance(path, Path) and (kind := no_file(path)):
            raise ConfigError(f"{path}: {kind}, not a file; name a TOML file")
        text = path.read_text(encoding="utf-8")
        if re.search(r"\\(u0000|U00000000)", text):
            raise ConfigError(f"{path}: contains a NUL (\\u0000), which no name and no path can have; remove it")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a TOML file") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, wrong syntax, or numbers with too many digits
        raise ConfigError(f"{path}: not TOML ({error}); correct the file") from None


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
