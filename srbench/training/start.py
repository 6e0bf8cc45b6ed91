"""The weights that a training starts from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srbench.weights.files import TRAINING, WeightsError, packaged_weights, weights_in
from srbench.weights.metadata import stated_metadata
from srbench.weights.pretrained import PretrainedModel, load_pretrained
from srbench.weights.table import cached_path, released_weights


@dataclass(frozen=True)
class Start:
    """The initial weights of a training."""

    model: str = ""
    """Model of their weights file; empty for random weights."""
    sha256: str = ""
    images: bytes = b""
    """The images that they were trained on, as far as they state them (``weights.training_images``)."""
    is_resumed: bool = False
    """True if the training goes on from a checkpoint, which replaces them."""


def find_start(given: Path | None, default: str, models: Collection[PretrainedModel[Any]], scale: int) -> Path | None:
    """Find the weights file of ``--start`` or, without it, the installed one named ``default``; None without either.

    ``given`` is a weights file, the folder of a training, or a name: that of fetched weights, of a file of weights that
    are packaged with the models or, at ``scale``, of their model. Raises WeightsError for a folder without weights.
    """
    installed = {name: path for name in released_weights() if (path := cached_path(name)).is_file()}
    for package in {model.package for model in models}:
        for (model, its_scale), path in packaged_weights(package).items():
            installed |= {path.stem: path} | ({model: path} if its_scale == scale else {})
    if given is None:
        return installed.get(default)
    is_path = given.is_file() or (given / TRAINING).is_file() or str(given) not in installed
    return weights_in(given) if is_path else installed[str(given)]


def load_start(
    path: Path, models: Collection[PretrainedModel[Any]], scale: int | None
) -> tuple[PretrainedModel[Any], Any]:
    """Load the weights of one of the models; returns the model, and a network of the size that the file states.

    Without a scale, the file may have any. Raises WeightsError.
    """
    metadata = stated_metadata(path)
    possible = [model for model in models if metadata is None or metadata.model == model.name]
    for model in possible:
        try:
            return model, load_pretrained(model, scale, path).train()
        except WeightsError:  # an official checkpoint may be one that another model converts
            if metadata is not None or model is possible[-1]:
                raise
    names = " or ".join(model.name for model in models)
    stated = "" if metadata is None else f" of {metadata.model}"
    raise WeightsError(f"{path}: weights{stated}, not of {names}; choose another --start")
