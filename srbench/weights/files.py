"""Weights files: safetensors whose metadata state their provenance (``metadata.py``)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError, safe_open

from srbench.files.atomic import write_whole
from srbench.files.paths import no_file
from srbench.interfaces import SRBenchError

if TYPE_CHECKING:
    from torch import Tensor

TRAINED = "weights.safetensors"
"""Weights file in the folder of a finished training."""
TRAINING = "training.json"
"""File with the settings, in the folder of a training."""
CHECKPOINT = "checkpoint.pt"
"""File from which a training resumes, in its folder."""


class WeightsError(SRBenchError):
    """A weights file that is missing, damaged, or belongs to another model."""


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Load all tensors by name, on the CPU, and the metadata (empty if the file has none).

    Raises WeightsError if the file is missing, damaged, not a safetensors file, or holds a non-finite value.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        metadata = file.metadata() or {}
    require_finite(tensors, path)
    return tensors, metadata


def load_metadata(path: Path) -> dict[str, str]:
    """Load only the metadata. Raises WeightsError if the file is missing, damaged or not a safetensors file."""
    with _opened(path, "np") as file:
        return file.metadata() or {}


def parameter_count(path: Path) -> int:
    """Total number of values in all tensors, from the header alone. Raises WeightsError as ``load_metadata`` does."""
    with _opened(path, "np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - not a mapping


def weights_in(path: Path, *, unfinished: bool = False) -> Path:
    """Return the weights file of a training folder, or any other path unchanged.

    With ``unfinished``, the last checkpoint of a training without a weights file is returned instead.
    Raises WeightsError for a folder with neither.
    """
    if not path.is_dir():
        return path
    if (path / TRAINED).is_file():
        return path / TRAINED
    if unfinished and is_training_checkpoint(path / CHECKPOINT):
        return path / CHECKPOINT
    if (path / TRAINING).is_file():
        state = "has no checkpoint yet" if unfinished else "is not finished"
        raise WeightsError(f"{path}: the training {state}; resume it: srbench train --resume {path}")
    raise WeightsError(f"{path}: a folder without {TRAINED}; name a weights file or a training folder")


def is_training_checkpoint(path: Path) -> bool:
    """Return whether a file is the checkpoint of a training folder."""
    return path.name == CHECKPOINT and path.is_file() and (path.parent / TRAINING).is_file()


def packaged_weights(package: str) -> dict[tuple[str, int], Path]:
    """Find the weights files of a top-level package, ``weights/MODEL-mini-xSCALE.safetensors``, by model and scale.

    The package is not imported.
    """
    spec = find_spec(package)
    folder = Path(str(spec.origin if spec else "")).parent / "weights"
    matches = {path: re.fullmatch(r"(.+)-mini-x(\d+)", path.stem) for path in sorted(folder.glob("*.safetensors"))}
    return {(match[1], int(match[2])): path for path, match in matches.items() if match}


def is_safetensors(path: Path) -> bool:
    """Return whether a name is that of a safetensors file."""
    return path.suffix.lower() == ".safetensors"


def require_file(path: Path) -> None:
    """Raise WeightsError if a weights file is missing, or is a folder or pipe."""
    if kind := no_file(path):
        raise WeightsError(f"{path}: {kind}, not a weights file; name the file")
    if not path.exists():
        raise WeightsError(f"{path}: no such weights file; check the path")


def require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise WeightsError naming the first tensor with a non-finite value."""
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise WeightsError(f"{path}: {name} has values that are not finite; get another copy of the file")


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, creating its folder. Equal inputs give equal bytes."""
    write_whole(path, weights_content(tensors, metadata))


def weights_content(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Serialise tensors and metadata as a safetensors file."""
    from safetensors.torch import save

    return _with_sorted_header(save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))


def _with_sorted_header(content: bytes) -> bytes:
    """Sort the header, which safetensors writes in random order, so that equal weights have equal hashes.

    A file consists of the length of the header (8 bytes, little-endian), the header (JSON, padded with spaces to a
    multiple of 8), and the tensors at offsets from the header's end.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Prefix the message of a WeightsError with the path."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


@contextmanager
def _opened(path: Path, framework: Literal["pt", "np"] = "pt") -> Iterator[Any]:
    """Open a weights file; ``np`` avoids importing torch. Raises WeightsError."""
    require_file(path)
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: damaged, or not a safetensors file ({error}); replace it") from None
