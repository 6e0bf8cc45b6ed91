"""``srbench convert``: official checkpoints to weights files, by the model that recognises them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from srbench.plugins.registry import find_plugin, registered
from srbench.weights.checkpoints import read_checkpoint
from srbench.weights.files import WeightsError, faults_of, save_weights, sha256_file
from srbench.weights.metadata import read_metadata
from srbench.weights.table import credited


def convert(checkpoint: Path, preset: str, out: Path, model: str | None = None, *, address: str | None = None) -> str:
    """Convert an official checkpoint to the weights file ``out``; returns the name of the model.

    A ``model`` is needed only if several recognise the checkpoint; ``address`` is the URL it was downloaded from.
    Raises WeightsError if none or several do, or the tensors do not fit the preset; PluginError, PresetError.
    """
    tensors = read_checkpoint(checkpoint)
    names = [model] if model else list(registered("converters"))
    fitting = {}
    for name in names:
        with faults_of(checkpoint):
            converted = find_plugin("converters", name).factory(tensors, preset)
        if converted is not None:
            fitting[name] = converted
    if not fitting:
        raise WeightsError(
            f"{checkpoint}: no checkpoint of {' or '.join(names)} with the preset {preset}; name another preset"
        )
    if len(fitting) > 1:
        raise WeightsError(
            f"{checkpoint}: could be of {' or '.join(fitting)}, which make different images from the same weights; "
            f"choose with --as {' or --as '.join(fitting)}"
        )
    [(found, (weights, text))] = fitting.items()
    digest = sha256_file(checkpoint)
    metadata = credited(read_metadata(text, checkpoint), found, digest, address)
    save_weights(out, weights, replace(metadata, converted_from_sha256=digest).text())
    return found
