"""Digests of models, computed from code and files without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srbench.files.hashes import sha256_file, sha256_texts
from srbench.models import ModelError
from srbench.models.names import ModelSpec
from srbench.plugins.code_digest import package_digest
from srbench.plugins.registry import is_ours, registered
from srbench.weights.files import packaged_weights


def digest_by_files(spec: ModelSpec, scale: int) -> str:
    """Digest of a model without loading it; loading it gives the same digest.

    Empty if the digest is known only after loading: for third-party code, and for a weights file that is interpolated
    with other weights. Raises WeightsError for missing weights, and ModelError if an ONNX file needs a missing package.
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
    """Weights files beside a graph: those that an ONNX graph names by relative paths, or the .bin of an ncnn graph.

    None for any other or damaged file. Raises ModelError if the package onnx is missing.
    """
    if path.suffix.lower() == ".param":
        return [weights] if (weights := path.with_suffix(".bin")).is_file() else []
    if path.suffix.lower() != ".onnx":
        return []
    try:
        import onnx
    except ImportError:
        raise ModelError(f"{path}: needs onnx; install it: pip install 'sr-bench[onnx]'") from None
    try:
        graph = onnx.load(path, load_external_data=False)
    except Exception:  # a damaged file, whose fault is named when the model is loaded
        return []
    # Private: nothing public lists the tensors; those in branches, functions and constants may lie elsewhere, too.
    tensors = onnx.external_data_helper._get_all_tensors(graph)
    names = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return sorted(file for name in names if (file := path.parent / name).is_file())
