"""Digests of third-party plug-ins.

A plug-in is identified by its source files (or the version of its distribution, if installed), the files that it opened
while it was loaded, and the parameters and buffers of the modules that it holds. If it has a method ``digest()``,
only the returned text counts. docs/add-your-own.md lists what this misses.
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
"""SHA-256 of the files that were opened while a module was loaded, by module name and path."""
_ACTIVE: list[Loading] = []


class Loading:
    """Context manager that records the files opened on this thread while a plug-in is loaded."""

    def __enter__(self) -> Loading:
        _install_hook()
        self._modules: dict[str, set[str]] = {}
        """Names of the modules that were being imported when a file was opened, by the file's path."""
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
            for name in self._modules[path]:  # a module is imported only once but may serve several plug-ins
                _OPENED.setdefault(name, {})[path] = sha256

    def record(self, path: object, mode: str | None, flags: int) -> None:
        """Record a file from an audit event ``open``, unless it is written or opened by the import of a library."""
        writes = flags & (os.O_WRONLY | os.O_RDWR) if mode is None else set(mode) & set("wax+")
        if writes or threading.get_ident() != self._thread or not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.path.abspath(os.fsdecode(path))
        if name.endswith(".pyc"):
            try:
                name = source_from_cache(name)
            except ValueError:  # not named by Python itself, such as pytest's files
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

    def digest(self, module: ModuleType, member: str, plugin: object) -> str:
        """SHA-256 of the loaded plug-in: an object created by the class or function ``member`` of a module."""
        if (stated := _stated(plugin)) is not None:
            return texts_digest(member, stated)
        imported = _OPENED.setdefault(module.__name__, {})
        imported |= {path: sha256 for path, sha256 in self._files.items() if path.endswith(".py")}
        files: dict[str, str] = {}
        for name in reachable(module.__name__, Path(str(module.__file__)))[0]:
            files |= _OPENED.get(name, {})
        files |= self._files
        opened = [files[path] for path in sorted(files)]
        # precomputed results have a digest for each image instead
        held = "" if isinstance(plugin, PrecomputedResults) else held_digest(plugin)
        return texts_digest(member, module_digest(module), *opened, held)


@functools.cache
def _install_hook() -> None:
    """Add an audit hook, which lasts until the process ends and does nothing unless a plug-in is being loaded."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            for loading in _ACTIVE:
                loading.record(*arguments)

    is_library(__file__)  # fills its caches, so that the hook itself opens no files
    sys.addaudithook(hook)


def object_digest(instance: object) -> str:
    """SHA-256 of an object of this process: the code of its class, its parameters and buffers, numbers and texts.

    Code without a source file, such as code in a notebook, gets a new digest every time.
    """
    if (stated := _stated(instance)) is not None:
        return texts_digest(stated)
    if isinstance(instance, PrecomputedResults):  # precomputed results have a digest for each image instead
        return source_digest(instance) or uuid4().hex
    lines = []
    for place, value in _held(instance):
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


def source_digest(instance: object) -> str | None:
    """SHA-256 of the code of a function, or of an object's class; None without a source file."""
    subject: Any = inspect.unwrap(instance) if isinstance(instance, FunctionType) else type(instance)
    module = sys.modules.get(subject.__module__)
    file = getattr(module, "__file__", None)
    if module is None or (file is None and module.__spec__ is None):
        return None
    if file is not None and not is_library(file) and not Path(file).is_file():
        return None
    line = ""
    if isinstance(subject, FunctionType):
        if Path(subject.__code__.co_filename).absolute() != Path(str(file)).absolute():
            return None  # created by ``exec``
        line = str(subject.__code__.co_firstlineno)
    return texts_digest(module_digest(module), subject.__qualname__, line)


def module_digest(module: ModuleType) -> str:
    """SHA-256 of the code of a module, or the version of its distribution if it is installed."""
    top = module.__name__.partition(".")[0]
    file = getattr(module, "__file__", None)
    if file is not None and (top in our_packages() or not is_library(file)):
        return code_digest(module.__name__, Path(file))
    return f"{top} {version_of(top)}"


def _stated(instance: Any) -> str | None:  # noqa: ANN401 - any object
    """The text that the object's method ``digest`` returns; None without it.

    ``PrecomputedResults.digest`` takes a name and is a different method.
    """
    method = getattr(instance, "digest", None)
    return None if not callable(method) or isinstance(instance, PrecomputedResults) else str(method())


def held_digest(instance: object) -> str:
    """SHA-256 of the parameters, buffers, tensors and arrays that an object holds, and of the files that it names."""
    contents = ((place, _content_sha256(value)) for place, value in _held(instance))
    return texts_digest(*(f"{place} {content}" for place, content in contents if content is not None))


def _held(instance: object) -> Iterator[tuple[str, Any]]:
    """Yield an object and everything reachable from it, with the path to each value.

    Attributes, items, closures and globals of functions are followed. Inside objects of libraries only arrays and file
    paths count, because other values may be caches.
    """
    visited: dict[int, object] = {}
    waiting: list[tuple[str, Any, bool]] = [("", instance, True)]
    while waiting:
        place, value, is_own = waiting.pop()
        if isinstance(value, type | ModuleType) or id(value) in visited:
            continue
        if not isinstance(value, _PLAIN):
            visited[id(value)] = value  # a reference, because the id of a deleted object may be reused
        if _is_array(value) or isinstance(value, str | Path) or (is_own and not isinstance(value, _CONTAINERS)):
            yield place, value
        if not _is_array(value):
            is_own = is_own and not _is_foreign(value)
            waiting += [(f"{place}.{name}", part, is_own) for name, part in _parts(value)]


def _is_foreign(value: object) -> bool:
    """Return whether an object is of a library, except containers, functions and network modules."""
    if isinstance(value, (*_CONTAINERS, FunctionType)) or hasattr(value, "named_buffers"):
        return False
    file = getattr(sys.modules.get(type(value).__module__), "__file__", None)
    return type(value).__module__ != "__main__" and (file is None or is_library(file))


def _parts(value: Any) -> Iterable[tuple[object, Any]]:  # noqa: ANN401 - any object
    """The values that an object holds, by name."""
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
        closure = [(name, cell.cell_contents) for name, cell in cells]
        used_globals = [(name, function.__globals__.get(name)) for name in sorted(_names(function.__code__))]
        return [("defaults", (function.__defaults__, function.__kwdefaults__)), *closure, *used_globals]
    own = getattr(value, "__dict__", {})
    if hasattr(value, "named_buffers"):  # a torch module, including TorchScript
        own = {name: part for name, part in own.items() if name not in ("_parameters", "_buffers", "_modules")}
        tensors = [*value.named_parameters(recurse=False), *value.named_buffers(recurse=False)]
        return [*tensors, *value.named_children(), *own.items()]
    return own.items()


def _names(code: CodeType) -> set[str]:
    """Names of the globals and attributes that a function uses, nested functions included."""
    return set(code.co_names).union(*(_names(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _content_sha256(value: object) -> str | None:
    """SHA-256 of an array, or of the file named by a string or path; None for anything else."""
    if _is_array(value):
        return _array_sha256(value)
    if isinstance(value, str | Path):
        with suppress(OSError, ValueError):  # a string that cannot be a file name
            return sha256_file(Path(value)) if Path(value).is_file() and not is_library(str(value)) else None
    return None


def _is_array(value: object) -> bool:
    torch = sys.modules.get("torch")
    numpy = sys.modules.get("numpy")
    is_tensor = torch is not None and isinstance(value, torch.Tensor)
    return is_tensor or (numpy is not None and isinstance(value, numpy.ndarray | numpy.generic))


def _array_sha256(array: Any) -> str:  # noqa: ANN401 - a tensor, or an array of numpy
    """SHA-256 of shape, type and values. Raises PluginError if the values cannot be read, as in a sparse tensor."""
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
