"""TOML files to frozen dataclasses and back, strictly: nothing is ignored or guessed, every fault has its path."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import cattrs
import tomli_w
from cattrs.v import transform_error

from srbench.files.paths import no_file
from srbench.interfaces import SRBenchError
from srbench.words import unknown

T = TypeVar("T")


class ConfigError(SRBenchError):
    """A configuration that cannot be read, or does not fit its dataclass."""


def load_toml(path: Path | Traversable, cls: type[T], changes: Sequence[str] = ()) -> T:
    """Read a TOML file as an instance of the dataclass ``cls``.

    ``changes`` replace values of the file, as they are typed: ``training.steps=100``.
    Raises ConfigError that names every fault with its path (``training.steps: missing``): unknown keys,
    missing ones, values of the wrong type (an integer may stand for a float, nothing else is converted).
    """
    table = _read_toml(path)
    for change in changes:
        _change(table, change)
    return structure(table, cls, f"{path} with {' '.join(changes)}" if changes else str(path))


def load_network(folder: Traversable, name: str, cls: type[T]) -> T:
    """Read only the table ``network`` of a preset, which is enough to build the network.

    Raises the errors of ``load_preset``.
    """
    path = _preset_path(folder, name)
    table = _read_toml(path)
    if not isinstance(table.get("network"), dict):
        raise ConfigError(f"{path}: has no table network; copy it from another preset")
    return structure(table["network"], cls, f"{path}: network")


def load_preset(folder: Traversable, name: str, cls: type[T], changes: Sequence[str] = (), kind: str = "preset") -> T:
    """Read ``<name>.toml`` of a folder of presets, or the file ``name`` if it ends in ``.toml``.

    Raises ConfigError as ``load_toml``, and one that lists the presets, which are of a ``kind``, for an unknown name.
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


def to_toml(value: Any) -> str:  # noqa: ANN401 - any dataclass
    """Write a frozen dataclass as TOML that ``load_toml`` reads back; None is left out, as TOML cannot express it."""
    return tomli_w.dumps(_without_none(cattrs.unstructure(value)))


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in table.items() if value is not None}
    return {key: _without_none(value) if isinstance(value, Mapping) else value for key, value in given.items()}


def structure(table: Mapping[str, Any], cls: type[T], source: str) -> T:
    """Turn nested tables into the dataclass ``cls``.

    Raises ConfigError that begins with ``source`` and names every fault with its path.
    """
    try:
        return _CONVERTER.structure(table, cls)
    except (cattrs.BaseValidationError, *_FAULTS) as error:
        faults = "; ".join(_sentence(fault) for fault in transform_error(error, "", _describe))
        raise ConfigError(f"{source}: {faults}") from None


def _read_toml(path: Path | Traversable) -> dict[str, Any]:
    try:
        if isinstance(path, Path) and (kind := no_file(path)):
            raise ConfigError(f"{path}: {kind}, not a file; name a TOML file")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a TOML file") from None
    except (ValueError, RecursionError) as error:  # bytes, syntax, numbers of more digits than Python reads
        raise ConfigError(f"{path}: not TOML ({error}); correct the file") from None


def register(kind: Any, read: Callable[[object], Any]) -> None:  # noqa: ANN401 - any type, unions among them
    """Let ``structure`` read values of a type with ``read``, which raises ValueError for invalid ones."""
    _CONVERTER.register_structure_hook(kind, lambda value, _: read(value))


def require_range(config: object, names: Sequence[str], low: float, high: float = math.inf) -> None:
    """Raise ValueError unless all these fields are finite numbers from ``low`` to ``high``."""
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
    """Parse a value of TOML; a lone word is text, so it needs no quotes in a shell."""
    if re.fullmatch(r"[A-Za-z][\w-]*", text) and text not in ("true", "false", "inf", "nan"):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        raise ConfigError(f"{change!r}: {text!r} is not a TOML value; write 3, 1e-4, true, [1, 2] or a word") from None


_FAULTS = (ValueError, TypeError, KeyError, AttributeError, SRBenchError)
_CONVERTER = cattrs.Converter(forbid_extra_keys=True)


_PLAIN: dict[Any, tuple[type, ...]] = {
    int: (int,),
    float: (float, int),
    str: (str,),
    bool: (bool,),
    int | float: (int, float),
}
"""Types of Python that may stand for a type."""


def _plain(value: Any, target: Any) -> Any:  # noqa: ANN401 - the signature that cattrs asks for
    if type(value) not in _PLAIN[target]:
        raise TypeError(f"{value!r} is no {target.__name__ if isinstance(target, type) else 'number'}")
    return target(value) if target is float else value


def _texts(value: object, _: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):  # Python would take one text as a sequence of letters
        raise TypeError("expected a list")
    return tuple(_CONVERTER.structure(one, str) for one in value)


for _kind in _PLAIN:
    _CONVERTER.register_structure_hook(_kind, _plain)
_CONVERTER.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _texts)


def _describe(fault: BaseException, target: type | None) -> str:
    if isinstance(fault, cattrs.ForbiddenExtraKeysError):
        known = [field.name for field in fields(fault.cl)]
        return ", ".join(unknown("key", key, known) for key in sorted(fault.extra_fields))
    if isinstance(fault, KeyError):
        return "missing"
    if get_origin(target) is Literal:
        return f"none of {', '.join(map(repr, get_args(target)))}"
    if isinstance(fault, AttributeError) or (isinstance(fault, TypeError) and is_dataclass(target)):
        return "expected a table"
    if isinstance(fault, TypeError) and get_origin(target) in (tuple, list) and "is no " not in str(fault):
        return "expected a list"
    return str(fault)


def _sentence(fault: str) -> str:
    """``<text> @ .training.steps``, as cattrs gives it, -> ``training.steps: <text>``."""
    text, _, path = fault.rpartition(" @ ")
    path = path.removeprefix(".")
    return f"{path}: {text}" if path else text
