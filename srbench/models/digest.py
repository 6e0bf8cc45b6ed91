"""Digests of models, computed from code and files without importing torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from srbench.files.hashes import sha256_file, sha256_texts
from srbench.models.names import ModelSpec
from srbench.plugins.code_digest import package_digest
from srbench.plugins.registry import is_ours, registered
from srbench.weights.files import packaged_weights

_LOCATION = re.compile(rb"\n\x08location\x12(?:([\x00-\x7f])|([\x80-\xff])([\x00-\x7f]))")
"""ONNX's key for the name of an external weights file (protobuf: field 1, 8 bytes), followed by the length of the name
as a varint (seven bits per byte, lowest first)."""


def digest_by_files(spec: ModelSpec, scale: int) -> str:
    """Digest of a model without loading it; loading it gives the same digest.

    Empty if the digest is known only after loading: for third-party code, and for a weights file that is interpolated
    with other weights. Raises WeightsError for missing weights.
    """
    if spec.is_folder:  # every output has its own digest
        return sha256_texts("results", str(scale), package_digest("srbench.models.precomputed"))
    if spec.is_network:
        path = Path(spec.name)
        files = [path, *external_data(path)] if path.is_file() else []
        return model_digest(spec, scale, package_digest("srbench.models.third_party"), files)
    if spec.name not in registered("models") or not is_ours("models", spec.name):
        return ""
    if spec.weights and spec.strength is not None:
        return ""
    point = registered("models")[spec.name]
    weights = spec.weights_file()
    files = [weights] if weights else _packaged(spec, point.module.partition(".")[0], scale)
    return model_digest(spec, scale, f"{package_digest(point.module)} {point.attr}", files)


def model_digest(spec: ModelSpec, scale: int, code: str, files: Sequence[Path]) -> str:
    """Digest of everything that determines the outputs: the model's code, the code that runs it, options and files."""
    sums = [sha256_file(file) for file in files]
    if spec.bfloat16:
        code = f"{code} {package_digest('srbench.models.half_precision')}"
    return sha256_texts(code, harness_digest(spec.consistent), str(scale), str(spec.strength), *sums)


def harness_digest(consistent: bool) -> str:
    """Digest of srbench's code that runs a model."""
    inference = package_digest("srbench.models.inference")
    return f"{inference} {package_digest('srbench.models.wrapped')}" if consistent else inference


def _packaged(spec: ModelSpec, package: str, scale: int) -> list[Path]:
    """Packaged weights of a model; if it is interpolated, the weights of all models of its package."""
    return [
        file
        for (model, size), file in packaged_weights(package).items()
        if size == scale and (model == spec.name or spec.strength is not None)
    ]


def external_data(path: Path) -> list[Path]:
    """External weights files of an ONNX graph, which names them by relative paths."""
    if path.suffix.lower() != ".onnx":
        return []
    graph = path.read_bytes()
    files = set()
    for match in _LOCATION.finditer(graph):
        short, low, high = match.groups()
        length = ord(short) if short else (ord(low) & 127) + 128 * ord(high)
        name = graph[match.end() : match.end() + length].decode(errors="replace")
        if "\0" not in name and (path.parent / name).is_file():
            files.add(path.parent / name)
    return sorted(files - {path})
