"""From the folder of a finished training to one weights file that says by itself what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from srbench.system.config import structure
from srbench.training import TrainingError
from srbench.training.config import TrainingConfig
from srbench.training.folder import BEST, read_request
from srbench.training.validation import MOST, SIDE, TEMPERATURE
from srbench.weights.files import TRAINED, load_weights, save_weights, weights_in
from srbench.weights.metadata import WeightsMetadata, read_metadata

_NEEDED = ("model", "scale", "preset", "config", "data", "settings", "trained_on", "licence")


def default_name(run: Path) -> str:
    """``MODEL-PRESET.safetensors`` of a finished training.

    Raises TrainingError where ``run`` holds no training, WeightsError where it is not finished.
    """
    _, metadata = _finished(run)
    return f"{metadata.model}-{metadata.preset}.safetensors"


def export(run: Path, out: Path, *, best: bool, licence: str | None) -> WeightsMetadata:
    """Write the weights at the end of the training in the folder ``run``, or its ``best`` ones, as the file ``out``.

    Returns the metadata: that of the training's own file, and ``step``, ``validated_on`` and ``validation``.
    ``licence`` takes the place of "not stated".
    Raises TrainingError where ``run`` holds no training, or none with validated weights for ``best``, or where ``out``
    would replace its files; WeightsError where the training is not finished or its files are damaged.
    """
    tensors, metadata = _finished(run)
    if out.suffix != ".safetensors":
        raise TrainingError(f"{out}: a weights file has to end in .safetensors; rename --out")
    if out.resolve().parent == run.resolve() and out.name in (TRAINED, BEST):
        raise TrainingError(f"{out}: is the training's own file; choose another --out")
    metadata = replace(metadata, step=trained_as(metadata).steps)
    validation = {} if metadata.metrics is None else {"last": _validation(metadata)}
    if (run / BEST).is_file():
        best_tensors, best_metadata = _read(run / BEST)
        validation["best"] = _validation(best_metadata)
        if best:
            tensors, metadata = best_tensors, best_metadata
    elif best:
        raise TrainingError(f"{run}: has no {BEST}, as no validation gave a number; leave --best out")
    metadata = replace(metadata, validation=validation, validated_on=_validated_on(run))
    if licence is not None:
        metadata = replace(metadata, licence=licence)
    save_weights(out, tensors, metadata.text())
    return metadata


def trained_as(metadata: WeightsMetadata) -> TrainingConfig:
    """How long, on what and how fast weights of ours were trained. Raises ConfigError where they do not say."""
    settings = metadata.settings or {}
    return structure(settings.get("training", {}), TrainingConfig, f"settings of the {metadata.model} weights")


def _read(path: Path) -> tuple[dict[str, Tensor], WeightsMetadata]:
    tensors, text = load_weights(path)
    return tensors, read_metadata(text, path)


def _finished(run: Path) -> tuple[dict[str, Tensor], WeightsMetadata]:
    read_request(run)
    path = weights_in(run)
    tensors, metadata = _read(path)
    if missing := [name for name in _NEEDED if getattr(metadata, name) is None]:
        raise TrainingError(f"{path}: says nothing of its {', '.join(missing)}; train it with this version of srbench")
    return tensors, metadata


def _validation(metadata: WeightsMetadata) -> dict[str, int | float]:
    return {} if metadata.step is None else {"step": metadata.step, **(metadata.metrics or {})}


def _validated_on(run: Path) -> str:
    """In words; of folders the name alone, as their paths say much of the machine and nothing of the weights."""
    _, request = read_request(run)
    held_out = "images of the data, which were not trained on where it has ten or more"
    of = f"images of the folder {Path(request['validation']).name}" if request["validation"] else held_out
    return (
        f"at most {MOST} {of}, their centres of at most {SIDE} pixels; models that sample at temperature {TEMPERATURE}"
    )
