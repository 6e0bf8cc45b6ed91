"""Digests of third-party plug-ins.

A plug-in is its own source files (the version of its distribution, if it is installed), the files that it opened while
it was loaded, and the parameters and buffers of the modules that it holds; or, in place of all these, the text that its
method ``digest()`` returns. docs/add-your-own.md says what this does not see.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.util import source_from_cache
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any
from uuid import uuid4

from srbench.files.hashes import sha256_file
from srbench.interfaces import PrecomputedResults
from srbench.plugins import PluginError
from srbench.plugins.code_digest import (
    code_digest,
    is_library,
    our_packages,
    reachable,
    source_sha256,
    texts_digest,
    version_of,
)
from srbench.words import one_line

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/")
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (dict, list, tuple, set, frozenset, functools.partial, MethodType)
_OPENED: dict[str, dict[str, str]] = {}
"""SHA-256 of the files that were opened while a module was loaded, by the module's name and by path."""
_ACTIVE: list[Loading] = []


class Loading:
    """Notes which files are opened on this thread while a plug-in is loaded; a context manager."""

    def __enter__(self) -> Loading:
        _install_hook()
        self._modules: dict[str, set[str]] = {}
        """Names of the modules that were being imported when a file was opened, by its path."""
        self._thread = threading.get_ident()
        self._caller = sys._getframe(1)
        _ACTIVE.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _ACTIVE.remove(self)
        self._files = {
            path: source_sha256(Path(path)) if path.endswith(".py") else sha256_file(Path(path))
            for path in self._modules
            if Path(path).is_file()
        }
        for path, sha256 in self._files.items():
            for name in self._modules[path]:  # a module is imported once, and may serve several plug-ins
                _OPENED.setdefault(name, {})[path] = sha256

    def note(self, path: object, mode: str | None, flags: int) -> None:
        """Take the arguments of an audit event ``open``, unless a library is being imported or the file is written."""
        writes = flags & (os.O_WRONLY | os.O_RDWR) if mode is None else set(mode) & set("wax+")
        if writes or threading.get_ident() != self._thread or not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.path.abspath(os.fsdecode(path))
        if name.endswith(".pyc"):
            try:
                name = source_from_cache(name)
            except ValueError:  # not of Python's own naming, such as pytest's
                return
        if name.startswith(_SYSTEM) or is_library(name):
            return
        modules = set()
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame is not self._caller:
            if frame.f_code.co_name == "<module>":
                if is_library(frame.f_code.co_filename):
                    return
                modules.add(frame.f_globals.get("__name__", ""))
            frame = frame.f_back
        self._modules.setdefault(name, set()).update(modules)

    def digest(self, module: ModuleType, member: str, thing: object) -> str:
        """SHA-256 of the plug-in that was loaded: the object ``thing`` that a ``member`` of a module has made."""
        if (stated := _stated(thing)) is not None:
            return texts_digest(member, stated)
        imported = _OPENED.setdefault(module.__name__, {})
        imported |= {path: sha256 for path, sha256 in self._files.items() if path.endswith(".py")}
        files: dict[str, str] = {}
        for name in reachable(module.__name__, Path(str(module.__file__)))[0]:
            files |= _OPENED.get(name, {})
        files |= self._files
        opened = [files[path] for path in sorted(files)]
        # each result of a folder has a digest of its own
        held = "" if isinstance(thing, PrecomputedResults) else held_digest(thing)
        return texts_digest(member, module_digest(module), *opened, held)


@functools.cache
def _install_hook() -> None:
    """Add an audit hook, which stays until the process ends, and does nothing unless a plug-in is being loaded."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            for loading in _ACTIVE:
                loading.note(*arguments)

    is_library(__file__)  # what it looks up once is not looked up within the hook
    sys.addaudithook(hook)


def given_digest(thing: object) -> str:
    """SHA-256 of an object of this process: the code of its class, its parameters and buffers, numbers and texts.

    A new one every time for code without a source file, such as that of a notebook.
    """
    if (stated := _stated(thing)) is not None:
        return texts_digest(stated)
    if isinstance(thing, PrecomputedResults):  # each result has a digest of its own
        return source_digest(thing) or uuid4().hex
    lines = []
    for place, value in _held(thing):
        if (content := _content_sha256(value)) is not None:
            lines.append(f"{place} {content}")
        elif isinstance(value, _PLAIN):
            lines.append(f"{place} {value!r}")
        elif _is_foreign(value):
            shown = re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))
            lines.append(f"{place} {shown} {source_digest(value)}")
        else:
            lines.append(f"{place} {source_digest(value) or uuid4().hex}")
    return texts_digest(*lines)


def source_digest(thing: object) -> str | None:
    """SHA-256 of the code of a function, or of an object's class; None without a source file."""
    subject: Any = inspect.unwrap(thing) if isinstance(thing, FunctionType) else type(thing)
    module = sys.modules.get(subject.__module__)
    file = getattr(module, "__file__", None)
    if module is None or (file is None and module.__spec__ is None):
        return None
    if file is not None and not is_library(file) and not Path(file).is_file():
        return None
    line = ""
    if isinstance(subject, FunctionType):
        if Path(subject.__code__.co_filename).absolute() != Path(str(file)).absolute():
            return None  # a text that was executed
        line = str(subject.__code__.co_firstlineno)
    return texts_digest(module_digest(module), subject.__qualname__, line)


def module_digest(module: ModuleType) -> str:
    """SHA-256 of the code of a module, or the version of the distribution that it is installed with."""
    top = module.__name__.partition(".")[0]
    file = getattr(module, "__file__", None)
    if file is not None and (top in our_packages() or not is_library(file)):
        return code_digest(module.__name__, Path(file))
    return f"{top} {version_of(top)}"


def _stated(thing: Any) -> str | None:  # noqa: ANN401 - any object
    """The text that an object's own method ``digest`` returns; that of results made elsewhere takes a name instead."""
    method = getattr(thing, "digest", None)
    return None if not callable(method) or isinstance(thing, PrecomputedResults) else str(method())


def held_digest(thing: object) -> str:
    """SHA-256 of the parameters and buffers, other tensors and arrays, and files behind paths that an object holds."""
    found = ((place, _content_sha256(value)) for place, value in _held(thing))
    return texts_digest(*(f"{place} {content}" for place, content in found if content is not None))


def _held(thing: object) -> Iterator[tuple[str, Any]]:
    """An object and all that it leads to by attributes, items, closures and globals of functions, with their places.

    Inside objects of libraries only arrays and paths count, as other values may be caches.
    """
    met: dict[int, object] = {}
    waiting: list[tuple[str, Any, bool]] = [("", thing, True)]
    while waiting:
        place, value, is_shown = waiting.pop()
        if isinstance(value, type | ModuleType) or id(value) in met:
            continue
        if not isinstance(value, _PLAIN):
            met[id(value)] = value  # kept, as the id of an object that is gone may return
        if _is_array(value) or isinstance(value, str | Path) or (is_shown and not isinstance(value, _CONTAINERS)):
            yield place, value
        if not _is_array(value):
            is_shown = is_shown and not _is_foreign(value)
            waiting += [(f"{place}.{name}", part, is_shown) for name, part in _parts(value)]


def _is_foreign(value: object) -> bool:
    """True for an object of a library, but containers, functions and modules of networks."""
    if isinstance(value, (*_CONTAINERS, FunctionType)) or hasattr(value, "named_buffers"):
        return False
    file = getattr(sys.modules.get(type(value).__module__), "__file__", None)
    return type(value).__module__ != "__main__" and (file is None or is_library(file))


def _parts(value: Any) -> Iterable[tuple[object, Any]]:  # noqa: ANN401 - any object
    """What an object holds, by name."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    if isinstance(value, set | frozenset):
        return enumerate(sorted(value, key=repr))
    if isinstance(value, functools.partial):
        return [("function", value.func), ("arguments", value.args), ("keywords", value.keywords)]
    if isinstance(value, MethodType):
        return [("self", value.__self__), ("function", value.__func__)]
    if isinstance(value, FunctionType):
        function = inspect.unwrap(value)
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        around = [(name, cell.cell_contents) for name, cell in cells]
        named = [(name, function.__globals__.get(name)) for name in sorted(_names(function.__code__))]
        return [("defaults", (function.__defaults__, function.__kwdefaults__)), *around, *named]
    own = getattr(value, "__dict__", {})
    if hasattr(value, "named_buffers"):  # a module of torch, also of TorchScript
        own = {name: part for name, part in own.items() if name not in ("_parameters", "_buffers", "_modules")}
        tensors = [*value.named_parameters(recurse=False), *value.named_buffers(recurse=False)]
        return [*tensors, *value.named_children(), *own.items()]
    return own.items()


def _names(code: CodeType) -> set[str]:
    """Globals and attributes that a function names, also in functions inside it."""
    return set(code.co_names).union(*(_names(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _content_sha256(value: object) -> str | None:
    """SHA-256 of an array, or of the file that a text or path names; None for anything else."""
    if _is_array(value):
        return _array_sha256(value)
    if isinstance(value, str | Path):
        with suppress(OSError, ValueError):  # a text that no file can have as its name
            return sha256_file(Path(value)) if Path(value).is_file() and not is_library(str(value)) else None
    return None


def _is_array(value: object) -> bool:
    torch = sys.modules.get("torch")
    numpy = sys.modules.get("numpy")
    is_tensor = torch is not None and isinstance(value, torch.Tensor)
    return is_tensor or (numpy is not None and isinstance(value, numpy.ndarray | numpy.generic))


def _array_sha256(array: Any) -> str:  # noqa: ANN401 - a tensor, or an array of numpy
    """SHA-256 of shape, type and values. Raises PluginError for a tensor whose values cannot be read, such as a sparse."""
    digest = hashlib.sha256(f"{tuple(array.shape)} {array.dtype}".encode())
    if hasattr(array, "detach"):
        import torch

        try:
            array = array.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        except (RuntimeError, NotImplementedError) as error:
            raise PluginError(
                f"holds a tensor {tuple(array.shape)} whose values cannot be read ({one_line(error)}); give the object "
                "that holds it a method digest()"
            ) from error
    digest.update(array.tobytes())
    return digest.hexdigest()
