"""What a weights file says of its numbers: text in the file, a frozen dataclass everywhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from srbench.system.config import ConfigError, structure
from srbench.weights.files import WeightsError


@dataclass(frozen=True)
class WeightsMetadata:
    """The facts in a weights file; None is what it does not say. In the file all but text is JSON."""

    model: str
    """What reads it: ``srflow``, ``esrgan``, ``rrdb``."""
    preset: str | None = None
    scale: int | None = None
    config: dict[str, Any] | None = None
    """The size of the network: fields of its dataclass."""
    licence: str | None = None
    """SPDX identifier, or a sentence where there is none."""
    trained_on: str | None = None
    """Data, number of steps and who did it, or on what."""
    converted_from_sha256: str | None = None
    """Of the checkpoint, where it was one."""
    data: str | None = None
    """Fingerprint of what it was trained on; this and all that follows of our own trainings only."""
    start: str | None = None
    """sha256 of the weights that the training began with; empty where there were none."""
    settings: dict[str, Any] | None = None
    """The preset with all its values."""
    losses: dict[str, list[float]] | None = None
    """By name: the curve of a loss over the training."""
    metrics: dict[str, float] | None = None
    """Of the validation of these weights."""
    step: int | None = None
    """How many steps were done."""
    validation: dict[str, dict[str, int | float]] | None = None
    """Step and metrics of the ``last`` validation and of the ``best``; this and the next of exported weights only."""
    validated_on: str | None = None

    def text(self) -> dict[str, str]:
        """As it stands in a file."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        return {name: json.dumps(value) if name in _JSON else value for name, value in said.items()}


_JSON = {name for name, kind in get_type_hints(WeightsMetadata).items() if kind not in (str, str | None)}


def read_metadata(text: Mapping[str, str], path: Path) -> WeightsMetadata:
    """The metadata of the weights file ``path``, from its text.

    Raises WeightsError in one line that names the file and every key that is missing, unknown or of another shape.
    """
    table: dict[str, Any] = {}
    for name, value in text.items():
        try:
            table[name] = json.loads(value) if name in _JSON else value
        except (ValueError, RecursionError):
            raise WeightsError(f"{path}: {name} in its metadata is no JSON; get another copy of the file") from None
    try:
        return structure(table, WeightsMetadata, f"{path}: its metadata do not fit")
    except ConfigError as error:
        raise WeightsError(f"{error}; convert or train it again, or name another file") from None
