"""TOML files -> frozen dataclasses, strictly: nothing is ignored or guessed, every fault has its path."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import cattrs
from cattrs.v import transform_error

from srbench.interfaces import SRBenchError
from srbench.system.file_names import no_file, unknown

T = TypeVar("T")


class ConfigError(SRBenchError):
    """A configuration that cannot be read, or does not fit its dataclass."""


class PresetError(ConfigError):
    """A preset that does not exist."""


def load_toml(path: Path | Traversable, cls: type[T], changes: Sequence[str] = ()) -> T:
    """Read a TOML file as an instance of the dataclass ``cls``.

    ``changes`` are values to put in place of the file's, as they are typed: ``training.steps=100``.
    Raises ConfigError that names every fault with its path (``training.steps: missing``): unknown keys,
    missing ones, values of another type (an integer may stand for a float, nothing else is converted).
    """
    table = _read_toml(path)
    for change in changes:
        _change(table, change)
    return structure(table, cls, f"{path} with {' '.join(changes)}" if changes else str(path))


def load_network(folder: Traversable, name: str, cls: type[T]) -> T:
    """The table ``network`` alone of a preset that ``load_preset`` finds: enough to build what it is the size of.

    Raises what ``load_preset`` raises.
    """
    path = _preset_path(folder, name)
    table = _read_toml(path)
    if not isinstance(table.get("network"), dict):
        raise ConfigError(f"{path}: has no table network; copy it from another preset")
    return structure(table["network"], cls, f"{path}: network")


def load_preset(folder: Traversable, name: str, cls: type[T], changes: Sequence[str] = ()) -> T:
    """Read ``<name>.toml`` of a folder of presets, or the file ``name`` where that ends in ``.toml``.

    Raises PresetError that lists the presets where there is none of that name, ConfigError as ``load_toml``.
    """
    return load_toml(_preset_path(folder, name), cls, changes)


def preset_names(folder: Traversable) -> list[str]:
    """The presets of a folder, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _preset_path(folder: Traversable, name: str) -> Path | Traversable:
    if name.endswith(".toml"):
        return Path(name)
    if name not in preset_names(folder):
        raise PresetError(unknown("preset", name, preset_names(folder)))
    return folder / f"{name}.toml"


def to_toml(value: Any) -> str:  # noqa: ANN401 - any dataclass
    """A frozen dataclass as TOML that ``load_toml`` reads back: plain values first, then nested ones as tables.

    What is None is left out, as TOML has no word for it.
    """
    lines: list[str] = []
    _write_table(cattrs.unstructure(value), "", lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def structure(table: Mapping[str, Any], cls: type[T], source: str) -> T:
    """Turn nested tables into the dataclass ``cls``; ``source`` begins the error.

    Raises ConfigError that names every fault with its path.
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
    """Have ``structure`` read values of a type by ``read``, which raises ValueError for what is none."""
    _CONVERTER.register_structure_hook(kind, lambda value, _: read(value))


def _change(table: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    *outer, key = (part.strip() for part in path.split("."))
    if not equals or not all((*outer, key)):
        raise ConfigError(f"{change!r} changes nothing; write KEY=VALUE, such as training.learning_rate=1e-4")
    for name in outer:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{change!r}: {name} is a value, not a table; it has no {key}")
    table[key] = _typed(text.strip(), change)


def _typed(text: str, change: str) -> Any:  # noqa: ANN401 - any value of TOML
    """A value as TOML writes it; a lone word is text, so that a shell's quotes can be left out."""
    if re.fullmatch(r"[A-Za-z][\w-]*", text) and text not in ("true", "false", "inf", "nan"):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        raise ConfigError(f"{change!r}: {text!r} is no value of TOML; write 3, 1e-4, true, [1, 2] or a word") from None


def _write_table(table: Mapping[str, Any], name: str, lines: list[str]) -> None:
    plain = {key: value for key, value in table.items() if value is not None and not isinstance(value, Mapping)}
    if name:
        lines += ["", f"[{name}]"]
    lines += [f"{key} = {_written(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            _write_table(value, f"{name}.{key}" if name else key, lines)


def _written(value: Any) -> str:  # noqa: ANN401 - any value of TOML
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return json.dumps(value, ensure_ascii=False)


_FAULTS = (ValueError, TypeError, KeyError, AttributeError, SRBenchError)


def _exactly(*allowed: type) -> Any:  # noqa: ANN401 - the signature that cattrs asks for
    def check(value: object, target: type) -> Any:  # noqa: ANN401
        if type(value) not in allowed:
            raise TypeError(f"{value!r} is no {target.__name__}")
        return target(value)

    return check


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
for _type, _allowed in {int: (int,), float: (float, int), str: (str,), bool: (bool,)}.items():
    _CONVERTER.register_structure_hook(_type, _exactly(*_allowed))


def _texts(value: object, _: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):  # a text is a sequence of texts to Python, and none to a reader
        raise TypeError("expected a list")
    return tuple(_CONVERTER.structure(one, str) for one in value)


_CONVERTER.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _texts)


def _number(value: object, _: object) -> Any:  # noqa: ANN401 - the signature that cattrs asks for
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is no number")
    return value


_CONVERTER.register_structure_hook(int | float, _number)


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
