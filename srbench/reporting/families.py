"""One row for each model: which rows of a table stand for their models, and which are variants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from srbench.interfaces import TEMPERATURE
from srbench.models import ModelFacts
from srbench.run_folder.protocol import Setting

RULE = (
    "Each model has one row, at the temperature stated in its weights, or else the one nearest to "
    f"{TEMPERATURE:g}; its other rows are not compared."
)
"""Rule for a reader."""
_STRENGTH = re.compile(r"(?<=[^:/@])@[\d.]+(?=:|$)")


@dataclass(frozen=True)
class Families:
    """Rows of a table by model."""

    model_of: tuple[int, ...]
    """Model of every row, as a number."""
    models: tuple[int, ...]
    """Rows that stand for their models, one of each; all rows of a table of one model."""

    @property
    def variants(self) -> tuple[int, ...]:
        """All other rows, model by model."""
        rows = [row for row in range(len(self.model_of)) if row not in self.models]
        return tuple(sorted(rows, key=lambda row: self.model_of[row]))


def families_of(settings: Sequence[Setting], models: Iterable[ModelFacts] = ()) -> Families:
    """Families of the rows of a table, given by their settings; a label without facts is its own name.

    A model is represented at the temperature chosen for its weights, or else at the measured one nearest to 0.8. Its
    strengths (``esrgan@0.7``) and projections (``esrgan+consistent``) are variants if the table has the plain model. If
    all rows are of one model, all are compared.
    """
    facts = {model.label: model for model in models}
    labels = list(dict.fromkeys(setting.model for setting in settings))
    specs = {label: _spec(facts[label].spec if label in facts else label) for label in labels}
    owners = {label: _owner(label, specs) for label in labels}
    model_of = tuple(labels.index(owners[setting.model]) for setting in settings)
    if len(set(model_of)) <= 1:
        return Families(model_of, tuple(range(len(settings))))
    rows_of = {owner: [row for row, one in enumerate(settings) if one.model == owner] for owner in owners.values()}
    return Families(model_of, tuple(_chosen(settings, rows, facts.get(owner)) for owner, rows in rows_of.items()))


def one_each(settings: Sequence[Setting], models: Iterable[ModelFacts]) -> list[int]:
    """One of several settings for every label, by the rule for the rows of a table."""
    facts = {model.label: model for model in models}
    places: dict[str, list[int]] = {}
    for place, setting in enumerate(settings):
        places.setdefault(setting.model, []).append(place)
    return [_chosen(settings, of_label, facts.get(label)) for label, of_label in places.items()]


def _spec(typed: str) -> str:
    """Name of a model as typed, without a label."""
    return typed.partition("=")[2] or typed


def _owner(label: str, specs: dict[str, str]) -> str:
    """Label of the model that a strength or a projection is a variant of; of the same run if there are several."""
    spec, run = specs[label], label.partition(" @ ")[2]
    exact = spec.removesuffix("+consistent")
    for plainer in (exact, _STRENGTH.sub("", spec), _STRENGTH.sub("", exact)):
        owners = [other for other in specs if specs[other] == plainer != spec]
        owners.sort(key=lambda other: other.partition(" @ ")[2] != run)
        if owners:
            return _owner(owners[0], specs)
    return label


def _chosen(settings: Sequence[Setting], rows: Sequence[int], facts: ModelFacts | None) -> int:
    """The row whose temperature is nearest to that stated in the weights of a model, or else to the default."""
    stated = facts.weights.temperature if facts and facts.weights else None
    aim = TEMPERATURE if stated is None else stated
    return min(rows, key=lambda row: abs((settings[row].temperature or 0.0) - aim))
