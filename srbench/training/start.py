"""The weights that a training starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srbench.weights.files import WeightsError
from srbench.weights.metadata import stated_metadata
from srbench.weights.pretrained import Network, PretrainedModel, load_pretrained


@dataclass(frozen=True)
class Start:
    """The initial weights of a training."""

    model: str = ""
    """Model of their weights file; empty for random weights."""
    sha256: str = ""
    images: bytes = b""
    """The images that they were trained on, as far as they state them (``weights.training_images``)."""
    config: Mapping[str, Any] | None = None
    """Size of the network of a training that is resumed; else None."""


def start_from(
    path: Path, models: Sequence[PretrainedModel[Network]], scale: int | None = None
) -> tuple[Network, Start]:
    """Load the network, of the size that the file states, whose weights a training starts from.

    The weights are those of one of the models, at ``scale`` or, if it is None, at any scale. Raises WeightsError.
    """
    metadata = stated_metadata(path)
    for model in models:
        if metadata is None or metadata.model == model.name:  # None: an official checkpoint, which the model converts
            network = load_pretrained(model, scale, path)
            return network.train(), Start(model.name, network.weights.sha256, network.training_images)  # type: ignore[union-attr, arg-type]
    names = " or ".join(model.name for model in models)
    raise WeightsError(
        f"{path}: weights of {metadata.model if metadata else ''}, not of {names}; choose another --start"
    )
