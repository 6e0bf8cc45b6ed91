"""TOML files -> frozen dataclasses, strictly: nothing is ignored or guessed, every fault has its path."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import cattrs
from cattrs.v import transform_error

from srbench.names import unknown
from srbench.types import SRBenchError

T = TypeVar("T")


class ConfigError(SRBenchError):
    """A configuration that cannot be read, or does not fit its dataclass."""


class PresetError(ConfigError):
    """A preset that does not exist."""


def load_toml(path: Path | Traversable, cls: type[T]) -> T:
    """Read a TOML file as an instance of the dataclass ``cls``.

    Raises ConfigError that names every fault with its path (``training.steps: missing``): unknown keys,
    missing ones, values of another type (an integer may stand for a float, nothing else is converted).
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error}); correct the file") from None
    return structure(table, cls, str(path))


def load_preset(folder: Traversable, name: str, cls: type[T]) -> T:
    """Read ``<name>.toml`` of a folder of presets, or the file ``name`` where that ends in ``.toml``.

    Raises PresetError that lists the presets where there is none of that name, ConfigError as ``load_toml``.
    """
    if name.endswith(".toml"):
        return load_toml(Path(name), cls)
    presets = {entry.name.removesuffix(".toml"): entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    if name not in presets:
        raise PresetError(unknown("preset", name, presets))
    return load_toml(presets[name], cls)


def structure(table: Mapping[str, Any], cls: type[T], source: str) -> T:
    """Turn nested tables into the dataclass ``cls``; ``source`` begins the error.

    Raises ConfigError that names every fault with its path.
    """
    try:
        return _CONVERTER.structure(table, cls)
    except (cattrs.BaseValidationError, *_FAULTS) as error:
        faults = "; ".join(_sentence(fault) for fault in transform_error(error, "", _describe))
        raise ConfigError(f"{source}: {faults}") from None


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


def _describe(fault: BaseException, target: type | None) -> str:
    if isinstance(fault, cattrs.ForbiddenExtraKeysError):
        known = [field.name for field in fields(fault.cl)]
        return ", ".join(unknown("key", key, known) for key in sorted(fault.extra_fields))
    if isinstance(fault, KeyError):
        return "missing"
    if get_origin(target) is Literal:
        return f"none of {', '.join(map(repr, get_args(target)))}"
    if isinstance(fault, (TypeError, AttributeError)) and is_dataclass(target):
        return "expected a table"
    if isinstance(fault, TypeError) and get_origin(target) is tuple and "is no" not in str(fault):
        return "expected a list"
    return str(fault)


def _sentence(fault: str) -> str:
    """``<text> @ .training.steps``, as cattrs gives it, -> ``training.steps: <text>``."""
    text, _, path = fault.rpartition(" @ ")
    path = path.removeprefix(".")
    return f"{path}: {text}" if path else text
