"""Digests of objects: everything that can be reached from a model or metric and that may change its numbers.

Parameters, buffers, arrays, numbers, texts, files behind paths, containers, attributes of objects and classes,
closures, defaults, and the globals that functions name. An object of which Python sees a part only has no digest.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any
from weakref import ReferenceType

from srbench.plugins.watch import content_digest, is_library

_PLAIN = (type(None), type(...), type(NotImplemented), bool, int, float, complex, bytes, range, slice)
_STATELESS = (logging.Logger, ReferenceType)
_CONTAINERS = (str, bytes, bytearray, int, float, complex, dict, MappingProxyType, list, tuple, set, frozenset)
_LOCKS = ("lock", "RLock", "_thread.lock", "_thread.RLock")
_OF_EVERY_CLASS = (
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__qualname__",
    "__annotations__",
    "__abstractmethods__",
    "_abc_impl",
    "__firstlineno__",
    "__static_attributes__",
    "__annotate__",
    "__annotate_func__",
    "__parameters__",
    "__orig_bases__",
    "__annotations_cache__",
)


@dataclass(frozen=True)
class State:
    """The state of an object."""

    digest: str
    unknown: str
    """Reason why the digest does not cover all of it; empty if it does."""


def state_of(thing: object, *, code: bool) -> State:
    """The state of an object. With ``code``, functions count by their compiled code, otherwise by their names."""
    walk = _Walk(code)
    try:
        walk.take(thing)
    except RecursionError:
        walk.give_up("holds objects nested too deeply")
    except Exception as error:  # whatever properties and reductions of foreign objects raise
        walk.give_up(f"cannot be looked through: {type(error).__name__}")
    return State(walk.hash.hexdigest(), walk.unknown)


class _Walk:
    """One pass over all that can be reached; what was met before counts by its place in the pass."""

    def __init__(self, code: bool, met: dict[int, int] | None = None) -> None:
        self.hash = hashlib.sha256()
        self.code, self.unknown = code, ""
        self._met: dict[int, int] = dict(met or {})
        self._alive: list[object] = []
        """Objects met, as the id of one that is gone may return."""

    def give_up(self, reason: str) -> None:
        """Note why there is no digest."""
        self.unknown = self.unknown or reason

    def take(self, value: Any) -> None:  # noqa: ANN401 - any object
        """Add a value."""
        if isinstance(value, _PLAIN) and type(value) in _PLAIN:
            self._token(type(value).__name__, repr(value))
        elif type(value) is str:
            self._text(value)
        elif isinstance(value, tuple | frozenset):
            self._instance(value)  # whether two equal ones are one object depends on the compiler
        elif id(value) in self._met:
            self._token("again", self._met[id(value)])
        else:
            self._met[id(value)] = len(self._met)
            self._alive.append(value)
            self._object(value)

    def _token(self, *parts: object) -> None:
        self.hash.update(repr(tuple(_without_place(str(part)) for part in parts)).encode(errors="surrogateescape"))

    def _text(self, value: str) -> None:
        if value.startswith(os.sep) and len(value) < 4096 and "\0" not in value:
            self._path(Path(value))
        else:
            self._token("str", value)

    def _path(self, path: Path) -> None:
        """A path counts by its content, as the same files in another folder are the same model."""
        if path.is_file():
            self._token("file", content_digest(str(path)))
        elif path.is_dir():
            self._token("folder")
        else:
            self._token("path", path)

    def _object(self, value: Any) -> None:  # noqa: ANN401
        if isinstance(value, type):
            self._class(value)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, ModuleType):
            self._token("module", value.__name__)
        elif isinstance(value, (*_STATELESS, staticmethod, classmethod, property, MethodType)):
            self._bound(value)
        elif isinstance(value, BuiltinFunctionType | MethodDescriptorType | WrapperDescriptorType):
            self._token("builtin", getattr(value, "__module__", ""), value.__qualname__)
            owner = getattr(value, "__self__", None)
            self.take(None if isinstance(owner, ModuleType) else owner)
        elif isinstance(value, PurePath):
            self._path(Path(value))
        elif isinstance(value, Enum):
            self._token("enum", type(value).__qualname__, value.name)
        elif isinstance(value, functools._lru_cache_wrapper):
            self.take(value.__wrapped__)  # what it has kept changes no number
        elif not self._array(value):
            self._instance(value)

    def _bound(self, value: Any) -> None:  # noqa: ANN401
        self._token(type(value).__name__)
        if isinstance(value, property):
            self._all((value.fget, value.fset))
        elif isinstance(value, MethodType | staticmethod | classmethod):
            self._all((getattr(value, "__self__", None), value.__func__))

    def _array(self, value: Any) -> bool:  # noqa: ANN401
        """Add a tensor or an array; False for anything else."""
        torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
        if torch is not None and isinstance(value, torch.Tensor):
            self._tensor(value, torch)
        elif torch is not None and isinstance(value, torch.jit.ScriptModule):
            self._token("script", value.inlined_graph if hasattr(value, "forward") else "")
            self._all(item for pair in sorted(value.state_dict().items()) for item in pair)
        elif torch is not None and isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format):
            self._token("torch", "device" if isinstance(value, torch.device) else value)
        elif torch is not None and isinstance(value, torch.Generator):
            self.take(value.get_state())
        elif numpy is not None and isinstance(value, numpy.ndarray | numpy.generic) and not value.dtype.hasobject:
            self._token("array", value.dtype.str, value.shape)
            self.hash.update(numpy.ascontiguousarray(value).tobytes())
            self._attributes(value)
        else:
            return False
        return True

    def _tensor(self, value: Any, torch: Any) -> None:  # noqa: ANN401 - torch may not be loaded
        self._token("tensor", tuple(value.shape), value.dtype, value.layout)
        if value.device.type == "meta":
            return
        if value.layout is not torch.strided or value.is_quantized:
            value = value.to_dense() if not value.is_quantized else value.dequantize()
        plain = value.detach().cpu().contiguous().resolve_conj().resolve_neg()
        self.hash.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
        self._attributes(value)

    def _instance(self, value: Any) -> None:  # noqa: ANN401
        kind = type(value)
        self._token("object", kind.__module__, kind.__qualname__)
        self.take(kind)
        if kind.__name__ in _LOCKS and kind.__module__ in ("_thread", "threading"):
            return
        if isinstance(value, str | bytes | bytearray | int | float | complex):
            self._token(str.__str__(value) if isinstance(value, str) else repr(value))
        elif isinstance(value, dict | MappingProxyType):
            self._all(item for pair in value.items() for item in pair)
            self.take(getattr(value, "default_factory", None))
        elif isinstance(value, list | tuple):
            self._token(len(value))
            self._all(value)
        elif isinstance(value, set | frozenset):
            self._unordered(value)
        self._attributes(value)  # first, as this may make the dictionary that is reduced
        if not isinstance(value, _CONTAINERS) and (foreign := _base_elsewhere(kind)) is not None:
            self._reduced(value, foreign)

    def _all(self, values: Iterable[object]) -> None:
        for value in values:
            self.take(value)

    def _unordered(self, values: Iterable[object]) -> None:
        digests = []
        for value in values:
            one = _Walk(self.code, self._met)
            one.take(value)
            digests.append(one.hash.hexdigest())
            self.unknown = self.unknown or one.unknown
        self._token("set", *sorted(digests))

    def _attributes(self, value: object) -> None:
        """Add what an object holds in its dictionary and its slots."""
        for name in sorted(held := getattr(value, "__dict__", None) or {}, key=str):
            self._token("attribute", name)
            self.take(held[name])
        for kind in type(value).__mro__:
            for name, member in vars(kind).items():
                if isinstance(member, MemberDescriptorType) and "__slots__" in vars(kind) and hasattr(value, name):
                    self._token("slot", name)
                    self.take(getattr(value, name))

    def _reduced(self, value: Any, kind: type) -> None:  # noqa: ANN401
        """Add what pickle would keep of an object not written in Python; nothing is known of one that it refuses."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # whatever an extension raises
            self.give_up(f"holds a {kind.__module__}.{kind.__qualname__}".replace("builtins.", ""))
            return
        if isinstance(reduced, str):
            self._token("global", reduced)
            return
        for part in reduced:
            self.take(list(part) if isinstance(part, Iterator) else part)

    def _class(self, kind: type) -> None:
        self._token("class", kind.__module__, kind.__qualname__)
        if not _is_local_class(kind):
            return
        for base in kind.__bases__:
            self.take(base)
        for name in sorted(set(vars(kind)) - set(_OF_EVERY_CLASS)):
            value = vars(kind)[name]
            if not isinstance(value, MemberDescriptorType | GetSetDescriptorType):
                self._token("member", name)
                self.take(value)
        if type(kind) is not type:
            self.take(type(kind))

    def _function(self, value: FunctionType) -> None:
        self._token("function", value.__module__, value.__qualname__)
        if is_library(value.__code__.co_filename):
            if (inner := value.__dict__.get("__wrapped__")) is not None:
                self.take(inner)  # a function of the user's under a library's decorator, such as torch.no_grad
            return
        if self.code:
            self._code(value.__code__)
        self._all((value.__defaults__, value.__kwdefaults__, value.__dict__))
        for cell in value.__closure__ or ():
            try:
                self.take(cell.cell_contents)
            except ValueError:  # a cell that is still empty
                self._token("empty")
        self._globals(value)

    def _globals(self, value: FunctionType) -> None:
        """Add the globals that a function names, and what it names of modules that are not libraries."""
        names = sorted(_names(value.__code__))
        for name in names:
            if name not in value.__globals__:
                continue
            found = value.__globals__[name]
            self._token("global", name)
            self.take(found)
            if isinstance(found, ModuleType) and not is_library(getattr(found, "__file__", None) or "<frozen "):
                for member in names:
                    if member in vars(found):
                        self._token("of", member)
                        self.take(vars(found)[member])

    def _code(self, code: CodeType) -> None:
        self._token("code", code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._code(constant)
            elif isinstance(constant, frozenset):
                self._token(sorted(map(repr, constant)))
            else:
                self._token("constant", repr(constant))


def _without_place(text: str) -> str:
    """A text without the name that a module of a file got from its path."""
    return re.sub(r"srbench_user_[0-9a-f]{12}", "srbench_user", text)


def _names(code: CodeType) -> set[str]:
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _base_elsewhere(kind: type) -> type | None:
    """The first class not written in Python that a class derives from; None without one."""
    for base in kind.__mro__:
        if base is not object and (_has_compiled_members(base) or _is_larger(base)):
            return base
    return None


def _has_compiled_members(kind: type) -> bool:
    slots = vars(kind).get("__slots__")
    kinds = (WrapperDescriptorType, MethodDescriptorType, *(() if slots is not None else (MemberDescriptorType,)))
    own = (member for member in vars(kind).values() if isinstance(member, kinds))
    return any(member.__objclass__ is kind for member in own)


def _is_larger(kind: type) -> bool:
    """True if objects hold more than a dictionary, a list of weak references, and the slots that are named."""
    slots = vars(kind).get("__slots__", ())
    named = 1 if isinstance(slots, str) else len(tuple(slots))
    base = kind.__base__ or object
    return kind.__basicsize__ - base.__basicsize__ > 8 * (named + 2)


def _is_local_class(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "__main__":
        return True
    file = getattr(module, "__file__", None)
    return file is not None and not is_library(file)
