"""From the folder of a finished training to one weights file that says by itself what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from srbench.training.config import TrainingError
from srbench.training.folder import BEST, read_request
from srbench.training.validation import MOST, SIDE, TEMPERATURE
from srbench.weights.files import TRAINED, load_weights, save_weights, weights_in

_NEEDED = ("model", "scale", "preset", "config", "data", "settings", "trained_on", "licence")


def default_name(run: Path) -> str:
    """``MODEL-PRESET.safetensors`` of a finished training.

    Raises TrainingError where ``run`` holds no training, WeightsError where it is not finished.
    """
    _, facts = _finished(run)
    return f"{facts['model']}-{facts['preset']}.safetensors"


def export(run: Path, out: Path, *, best: bool, licence: str | None) -> dict[str, str]:
    """Write the weights at the end of the training in the folder ``run``, or its ``best`` ones, as the file ``out``.

    Returns the metadata: that of the training's own file, and ``step``, ``validated_on`` and ``validation``, which is
    JSON: step and metrics of the ``last`` validation, and of the ``best``. ``licence`` takes the place of "not stated".
    Raises TrainingError where ``run`` holds no training, or none with validated weights for ``best``, or where ``out``
    would replace its files; WeightsError where the training is not finished or its files are damaged.
    """
    tensors, facts = _finished(run)
    if out.suffix != ".safetensors":
        raise TrainingError(f"{out}: a weights file has to end in .safetensors; rename --out")
    if out.resolve().parent == run.resolve() and out.name in (TRAINED, BEST):
        raise TrainingError(f"{out}: is the training's own file; choose another --out")
    settings = json.loads(facts["settings"])["training"]
    facts["step"] = str(settings["steps"])
    validation = {"last": _validation(facts)} if "metrics" in facts else {}
    if (run / BEST).is_file():
        best_tensors, best_facts = load_weights(run / BEST)
        validation["best"] = _validation(best_facts)
        if best:
            tensors, facts = best_tensors, best_facts
    elif best:
        raise TrainingError(f"{run}: has no {BEST}, as no validation gave a number; leave --best out")
    facts |= {"validation": json.dumps(validation), "validated_on": _validated_on(run)}
    if licence is not None:
        facts["licence"] = licence
    save_weights(out, tensors, facts)
    return facts


def _finished(run: Path) -> tuple[dict[str, Any], dict[str, str]]:
    read_request(run)
    path = weights_in(run)
    tensors, facts = load_weights(path)
    if missing := [name for name in _NEEDED if name not in facts]:
        raise TrainingError(f"{path}: says nothing of its {', '.join(missing)}; train it with this version of srbench")
    return tensors, facts


def _validation(facts: dict[str, str]) -> dict[str, float]:
    return {"step": int(facts["step"]), **json.loads(facts["metrics"])}


def _validated_on(run: Path) -> str:
    """In words; of folders the name alone, as their paths say much of the machine and nothing of the weights."""
    _, request = read_request(run)
    held_out = "pictures of the data, which were not trained on where it has ten or more"
    of = f"pictures of the folder {Path(request['validation']).name}" if request["validation"] else held_out
    return f"at most {MOST} {of}, their centres of at most {SIDE} pixels; what draws, at temperature {TEMPERATURE}"
