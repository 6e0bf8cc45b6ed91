"""Metadata of weights files: text in the file, a frozen dataclass in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from srbench.files.config import ConfigError, structure
from srbench.weights.files import WeightsError, load_weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WeightsMetadata:
    """Metadata of a weights file; None marks what is not stated. In the file, everything but text is JSON."""

    model: str
    """Model that reads the file: ``srflow``, ``esrgan``, ``rrdb``."""
    preset: str | None = None
    scale: int | None = None
    config: dict[str, Any] | None = None
    licence: str | None = None
    """SPDX identifier, or a sentence if there is none."""
    trained_on: str | None = None
    """Dataset, number of steps, and who trained it or on which machine."""
    temperature: float | None = None
    """Temperature at which the model is compared, chosen on validation images."""
    converted_from_sha256: str | None = None
    data: str | None = None
    """Fingerprint of the training data. This and the following fields exist only for our own trainings."""
    start: str | None = None
    """SHA-256 of the initial weights; empty for random ones."""
    settings: dict[str, Any] | None = None
    losses: dict[str, list[float]] | None = None
    metrics: dict[str, float] | None = None
    step: int | None = None
    validation: dict[str, dict[str, int | float]] | None = None
    """Step and metrics of the ``last`` and the ``best`` validation, in exported weights only."""
    validated_on: str | None = None
    """Validation images, in exported weights only."""

    def text(self) -> dict[str, str]:
        """The metadata as stored in a file."""
        stated = {name: value for name, value in vars(self).items() if value is not None}
        return {name: json.dumps(value) if name in _JSON else value for name, value in stated.items()}


_JSON = {name for name, kind in get_type_hints(WeightsMetadata).items() if kind not in (str, str | None)}


def load_described(path: Path) -> tuple[dict[str, Tensor], WeightsMetadata]:
    """Tensors and metadata of a weights file. Raises WeightsError as ``load_weights`` and ``read_metadata`` do."""
    tensors, text = load_weights(path)
    return tensors, read_metadata(text, path)


def read_metadata(text: Mapping[str, str], path: Path) -> WeightsMetadata:
    """Parse the metadata of the weights file ``path``.

    Raises WeightsError that names every key that is missing, unknown or of the wrong type.
    """
    table: dict[str, Any] = {}
    for name, value in text.items():
        try:
            table[name] = json.loads(value) if name in _JSON else value
        except (ValueError, RecursionError):
            raise WeightsError(f"{path}: {name} in its metadata is not JSON; get another copy of the file") from None
    try:
        return structure(table, WeightsMetadata, f"{path}: invalid metadata")
    except ConfigError as error:
        raise WeightsError(f"{error}; convert or train it again, or name another file") from None
