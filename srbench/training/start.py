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


def load_start(
    path: Path, models: Sequence[PretrainedModel[Network]], scale: int | None = None
) -> tuple[Network, Start]:
    """Load the network, of the size that the file states, whose weights a training starts from.

    The weights are those of one of the models, at ``scale`` or, if it is None, at any scale. Raises WeightsError.
    """
    metadata = stated_metadata(path)
    possible = [model for model in models if metadata is None or metadata.model == model.name]
    for model in possible:
        try:
            network = load_pretrained(model, scale, path)
        except WeightsError:
            if metadata is not None or model is possible[-1]:
                raise
            continue  # an official checkpoint, which one of the models converts
        return network.train(), Start(model.name, network.weights.sha256, network.training_images)  # type: ignore[union-attr, arg-type]
    names = " or ".join(model.name for model in models)
    stated = "" if metadata is None else f" of {metadata.model}"
    raise WeightsError(f"{path}: weights{stated}, not of {names}; choose another --start")
