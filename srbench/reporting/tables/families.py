"""Families: the row that represents each model in a table, and the rows that are its variants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from srbench.interfaces import TEMPERATURE
from srbench.models import Checkpoint, ModelInfo
from srbench.models.names import split_label
from srbench.run_folder.protocol import Setting

RULE = (
    "Each model is represented by one row, at the temperature stated in its weights or else nearest to "
    f"{TEMPERATURE:g}, and a training by its last checkpoint; other rows are not compared."
)
"""The rule in words."""
_STRENGTH = re.compile(r"(?<=[^:/@])@[\d.]+(?=:|$)")
_STEPS = re.compile(r"\+\d+steps(?=(\+bf16)?(\+consistent)?$)")


@dataclass(frozen=True)
class Families:
    """Rows of a table, grouped by model."""

    model_of: tuple[int, ...]
    """Index of the model of every row."""
    models: tuple[int, ...]
    """Rows that represent their models, one per model; all rows in a table of a single model."""


def families_of(settings: Sequence[Setting], models: Iterable[ModelInfo] = ()) -> Families:
    """Group the rows of a table, given by their settings, into families.

    A model is represented by the row at the temperature stated in its weights, or else nearest to 0.8. Strengths
    (``esrgan@0.7``), numbers of steps (``rectified-flow+8steps``), half precision (``esrgan+bf16``) and projections
    (``esrgan+consistent``) are variants if the table has the plain model, and all checkpoints of a training but the
    last are variants of the last. If all rows belong to one model, all are compared. A label that is not in ``models``
    is taken as the model's name.
    """
    by_label = {model.label: model for model in models}
    labels = list(dict.fromkeys(setting.model for setting in settings))
    specs = {label: split_label(by_label[label].spec)[1] if label in by_label else label for label in labels}
    checkpoints = {label: by_label[label].checkpoint for label in labels if label in by_label}
    owners = {label: _owner(label, specs, checkpoints) for label in labels}
    model_of = tuple(labels.index(owners[setting.model]) for setting in settings)
    if len(set(model_of)) <= 1:
        return Families(model_of, tuple(range(len(settings))))
    rows_of = {
        owner: [row for row, setting in enumerate(settings) if setting.model == owner] for owner in owners.values()
    }
    return Families(model_of, tuple(_chosen(settings, rows, by_label.get(owner)) for owner, rows in rows_of.items()))


def one_each(settings: Sequence[Setting], models: Iterable[ModelInfo]) -> list[int]:
    """Return the indices of one setting per label, chosen as for the rows of a table: by temperature;
    last checkpoints.
    """
    by_label = {model.label: model for model in models}
    places: dict[str, list[int]] = {}
    for place, setting in enumerate(settings):
        places.setdefault(setting.model, []).append(place)
    checkpoints = {label: by_label[label].checkpoint for label in places if label in by_label}
    return [
        _chosen(settings, of_label, by_label.get(label))
        for label, of_label in places.items()
        if label == _last(label, checkpoints)
    ]


def run_of(label: str) -> str:
    """Return the name of the run in a label of a table of several runs, else ""."""
    return label.partition(" @ ")[2]


def _owner(label: str, specs: Mapping[str, str], checkpoints: Mapping[str, Checkpoint | None]) -> str:
    """Return the label of the plain model of a variant, preferably of the same run, or of the last checkpoint."""
    spec, run = specs[label], run_of(label)
    exact = spec.removesuffix("+consistent")
    full = exact.removesuffix("+bf16")
    in_float32 = full + spec.removeprefix(exact)
    plain = _STEPS.sub("", full)
    for plainer in (
        exact,
        full,
        in_float32,
        _STEPS.sub("", spec),
        plain,
        _STRENGTH.sub("", spec),
        _STRENGTH.sub("", plain),
    ):
        owners = [other for other in specs if specs[other] == plainer != spec]
        owners.sort(key=lambda other: run_of(other) != run)
        if owners:
            return _owner(owners[0], specs, checkpoints)
    return _last(label, checkpoints)


def _last(label: str, checkpoints: Mapping[str, Checkpoint | None]) -> str:
    """Return the label of the last checkpoint of a training, preferably of the same run;
    of another model, the label.
    """
    own = checkpoints.get(label)
    if own is None:
        return label
    steps = {other: each.step for other, each in checkpoints.items() if each and each.training == own.training}
    of_run = {other: step for other, step in steps.items() if run_of(other) == run_of(label)}
    steps = of_run if len(of_run) > 1 else steps
    return max(steps, key=steps.__getitem__)


def _chosen(settings: Sequence[Setting], rows: Sequence[int], model: ModelInfo | None) -> int:
    """Return the row whose temperature is nearest to the one stated in the model's weights, or else to the default."""
    preferred = model.temperature if model else TEMPERATURE
    return min(rows, key=lambda row: abs((settings[row].temperature or 0.0) - preferred))
