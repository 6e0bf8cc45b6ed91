"""Export of a finished training: one self-describing weights file, and its model card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from srbench.training import TrainingError
from srbench.training.folder import BEST, read_description
from srbench.training.model_card import trained_as, write_model_card
from srbench.training.validation import MOST, SIDE, TEMPERATURE
from srbench.weights.files import TRAINED, save_weights, weights_in
from srbench.weights.metadata import WeightsMetadata, load_described

_NEEDED = ("model", "scale", "preset", "config", "data", "settings", "trained_on", "licence")


def export(run: Path, out: Path | None, *, best: bool, licence: str | None) -> tuple[Path, Path]:
    """Write the last or the ``best`` weights of the training in the folder ``run``, and a model card beside them.

    Returns both paths; without ``out``, the file is ``MODEL-PRESET.safetensors``. The metadata of the training get
    ``step``, ``validated_on``, ``validation``, and the ``licence`` in place of "not stated".
    Raises TrainingError if ``run`` holds no training, or no validated weights for ``best``, or ``out`` would replace
    its files; WeightsError if the training is not finished or its files are damaged.
    """
    _, request = read_description(run)
    tensors, metadata = load_described(weights_in(run))
    if missing := [name for name in _NEEDED if getattr(metadata, name) is None]:
        raise TrainingError(
            f"{run / TRAINED}: lacks {', '.join(missing)} in its metadata; train it with this version of srbench"
        )
    out = out or Path(f"{metadata.model}-{metadata.preset}.safetensors")
    if out.suffix != ".safetensors":
        raise TrainingError(f"{out}: a weights file has to end in .safetensors; rename --out")
    if out.resolve().parent == run.resolve() and out.name in (TRAINED, BEST):
        raise TrainingError(f"{out}: is the training's own file; choose another --out")
    metadata = replace(metadata, step=trained_as(metadata).steps)
    validation = {} if metadata.metrics is None else {"last": _validation(metadata)}
    if (run / BEST).is_file():
        best_tensors, best_metadata = load_described(run / BEST)
        validation["best"] = _validation(best_metadata)
        if best:
            tensors, metadata = best_tensors, best_metadata
    elif best:
        raise TrainingError(f"{run}: has no {BEST}, as no validation gave a number; leave --best out")
    # The names of folders alone: paths describe the machine, not the weights.
    images = "images of the data, which were not trained on where it has ten or more"
    if request["validation"]:
        images = f"images of the folder {Path(request['validation']).name}"
    metadata = replace(
        metadata,
        validation=validation,
        validated_on=f"at most {MOST} {images}, their centres of at most {SIDE} pixels; models that sample at "
        f"temperature {TEMPERATURE}",
        licence=metadata.licence if licence is None else licence,
    )
    save_weights(out, tensors, metadata.text())
    return out, write_model_card(out, tensors, metadata)


def _validation(metadata: WeightsMetadata) -> dict[str, int | float]:
    return {} if metadata.step is None else {"step": metadata.step, **(metadata.metrics or {})}
