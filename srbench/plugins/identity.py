"""Digests of third-party plug-ins, and of objects handed over in Python.

A plug-in is identified by its code (``code_digest``) and the tensors and arrays that it holds; an object also by its
numbers and texts. The text that a method ``digest()`` returns counts instead. docs/add-your-own.md lists what this
misses.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from srbench.files.hashes import sha256_bytes, sha256_texts
from srbench.interfaces import PrecomputedResults
from srbench.plugins.code_digest import module_digest


def plugin_digest(module: ModuleType, member: str, plugin: object) -> str:
    """SHA-256 of a plug-in, created by the class or function ``member`` of a module."""
    if (stated := _stated(plugin)) is not None:
        return sha256_texts(member, stated)
    # precomputed results have a digest for each image instead
    held = "" if isinstance(plugin, PrecomputedResults) else held_digest(plugin)
    return sha256_texts(member, module_digest(module), held)


def object_digest(instance: object) -> str | None:
    """SHA-256 of an object of this process: the code of its class and of all that it holds, and their contents.

    None if changes of the object cannot be detected: for a function, for code without a source file, as in a notebook,
    and if it holds anything that cannot be pickled.
    """
    if (stated := _stated(instance)) is not None:
        return sha256_texts(stated)
    if isinstance(instance, PrecomputedResults):  # precomputed results have a digest for each image instead
        return source_digest(instance)
    contents = _Contents(instance)
    modules = [sys.modules.get(name) for name in sorted(contents.modules)]
    code = [module_digest(module) for module in modules if module is not None and _has_source(module)]
    if isinstance(instance, FunctionType) or not contents.is_complete or len(code) < len(modules):
        return None
    return sha256_texts(contents.sha256, *code)


def source_digest(instance: object) -> str | None:
    """SHA-256 of the code of an object's class; None without a source file."""
    kind = type(instance)
    module = sys.modules.get(kind.__module__)
    return None if module is None or not _has_source(module) else sha256_texts(module_digest(module), kind.__qualname__)


def held_digest(instance: object) -> str:
    """SHA-256 of the tensors and arrays that an object holds, such as the parameters and buffers of its networks."""
    return sha256_texts(*_Contents(instance).arrays)


def _has_source(module: ModuleType) -> bool:
    """False for a notebook, an interactive session, and a module whose file is gone."""
    file = getattr(module, "__file__", None)
    return module.__spec__ is not None if file is None else Path(file).is_file()


def _stated(instance: Any) -> str | None:  # noqa: ANN401 - any object
    """The text that the object's method ``digest`` returns; None without it.

    ``PrecomputedResults.digest`` takes a name and is a different method.
    """
    method = getattr(instance, "digest", None)
    return None if not callable(method) or isinstance(instance, PrecomputedResults) else str(method())


class _Contents(pickle.Pickler):
    """The contents of an object, in the order in which pickle visits them."""

    def __init__(self, instance: object) -> None:
        stream = io.BytesIO()
        super().__init__(stream, 4)
        self.arrays: list[str] = []
        """SHA-256 of every tensor and array."""
        self.modules: set[str] = set()
        """Names of the modules of all classes, their bases, and functions."""
        self.is_complete = True
        """False if anything cannot be pickled; the rest has been visited nevertheless."""
        try:
            self.dump(instance)
        except Exception:  # too deep, or an object that describes itself wrongly
            self.is_complete = False
        self.sha256 = sha256_bytes(stream.getvalue())

    def persistent_id(self, value: Any) -> object:  # noqa: ANN401 - any object
        """Describe arrays by digests, sets in an order that does not change, and code by its name."""
        if _is_array(value):
            sha256 = _array_sha256(value)
            self.is_complete &= sha256 is not None
            self.arrays += [sha256] if sha256 else []
            return sha256 or ""
        if isinstance(value, set | frozenset):
            return sorted(map(repr, value))
        if isinstance(value, type):
            self.modules.update(str(base.__module__) for base in value.__mro__)
            self.is_complete &= "<locals>" not in value.__qualname__
            return value.__qualname__
        if isinstance(value, FunctionType):
            self.modules.add(str(value.__module__))
            self.is_complete &= value.__closure__ is None  # variables around it
            return value.__qualname__, value.__code__.co_firstlineno
        return None

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401 - any object
        """Leave out what cannot be pickled, but for the tensors of a network, such as one with weight normalisation."""
        try:
            return value.__reduce_ex__(4)
        except Exception:
            self.is_complete = False
        try:
            return str, (), dict(value.state_dict())
        except Exception:
            return str, ()


def _is_array(value: object) -> bool:
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return True
    return numpy is not None and isinstance(value, numpy.ndarray) and not value.dtype.hasobject


def _array_sha256(array: Any) -> str | None:  # noqa: ANN401 - a tensor, or an array of numpy
    """SHA-256 of shape, type and values; None if the values cannot be read, as in a sparse tensor."""
    digest = hashlib.sha256(f"{tuple(array.shape)} {array.dtype}".encode())
    if hasattr(array, "detach"):
        import torch

        try:
            array = array.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        except (RuntimeError, NotImplementedError):
            return None
    digest.update(array.tobytes())
    return digest.hexdigest()
