"""Metadata of weights files: texts in the file, a dataclass in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from srbench.files.config import ConfigError, structure
from srbench.weights.files import TRAINING, WeightsError, is_safetensors, is_training_checkpoint, load_metadata
from srbench.weights.training_images import from_text


@dataclass(frozen=True)
class WeightsMetadata:
    """Metadata of a weights file; None if not stated. In the file, values other than text are stored as JSON."""

    model: str
    """Model that reads the file: ``srflow``, ``esrgan``, ``rrdb``."""
    preset: str | None = None
    scale: int | None = None
    config: dict[str, Any] | None = None
    licence: str | None = None
    """SPDX identifier, or a sentence if there is none."""
    trained_on: str | None = None
    """Dataset, number of steps, and author or machine."""
    temperature: float | None = None
    """Temperature at which the model is compared, chosen on validation images."""
    converted_from_sha256: str | None = None
    data: str | None = None
    """Fingerprint of the training data. Only ``srbench train`` writes this and the following fields."""
    start: str | None = None
    """SHA-256 of the initial weights; empty for random initial weights."""
    settings: dict[str, Any] | None = None
    images: str | None = None
    """All training images, those of the initial weights included (``training_images.to_text``)."""
    losses: dict[str, list[float]] | None = None
    metrics: dict[str, float] | None = None
    step: int | None = None
    """Steps done; stated for weights of a checkpoint, for the best weights and for exported weights."""
    validation: dict[str, dict[str, int | float]] | None = None
    """Step and metrics of the ``last`` and the ``best`` validation, in exported weights only."""
    validated_on: str | None = None
    """Validation images, in exported weights only."""

    def text(self) -> dict[str, str]:
        """The metadata as stored in a file."""
        stated = {name: value for name, value in vars(self).items() if value is not None}
        return {name: json.dumps(value) if name in _JSON else value for name, value in stated.items()}

    @property
    def origin(self) -> str | None:
        """``trained_on``, with the step added if the weights are not from the last step."""
        steps = ((self.settings or {}).get("training") or {}).get("steps")
        if self.step in (None, steps):
            return self.trained_on
        return f"{self.trained_on}; weights of step {self.step} of {steps}"


_JSON = {name for name, kind in get_type_hints(WeightsMetadata).items() if kind not in (str, str | None)}


def stated_metadata(path: Path) -> WeightsMetadata | None:
    """Read the metadata of a weights file, or of a training checkpoint (without its step), without importing torch.

    Returns None for a checkpoint of another project. Raises WeightsError.
    """
    if is_training_checkpoint(path):
        return read_training(path.parent)[0]
    return read_metadata(load_metadata(path), path) if is_safetensors(path) else None


def read_training(folder: Path) -> tuple[WeightsMetadata, dict[str, Any]]:
    """Read the initial metadata of the training in a folder, and its request.

    Raises WeightsError if the folder holds no training.
    """
    path = folder / TRAINING
    try:
        saved = json.loads(path.read_text())
        return read_metadata(saved["metadata"], path), dict(saved["request"])
    except OSError:
        raise WeightsError(f"{folder}: not a training folder; name a folder made by srbench train") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, WeightsError):
        raise WeightsError(f"{path}: not written by this version of srbench; name another folder") from None


def read_metadata(text: Mapping[str, str], path: Path) -> WeightsMetadata:
    """Parse the metadata of the weights file ``path``.

    Raises WeightsError naming an unknown or missing key, or a value of the wrong type.
    """
    table: dict[str, Any] = {}
    for name, value in text.items():
        try:
            table[name] = json.loads(value) if name in _JSON else value
        except (ValueError, RecursionError):
            raise WeightsError(f"{path}: {name} in its metadata is not JSON; get another copy of the file") from None
    try:
        from_text(table.get("images"))
    except ValueError:
        raise WeightsError(f"{path}: images in its metadata is not base64; get another copy of the file") from None
    try:
        return structure(table, WeightsMetadata, f"{path}: invalid metadata")
    except ConfigError as error:
        raise WeightsError(f"{error}; convert or train it again, or name another file") from None
