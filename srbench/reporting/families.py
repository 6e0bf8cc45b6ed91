"""Families of the rows of a table: models compete with one row each, the variants of a model with each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from srbench.interfaces import ModelFacts
from srbench.run_folder.protocol import Setting

USUAL = 0.8
"""Temperature of models for whose weights none was chosen: the default of a run."""
Family = Literal["models", "variants", "others"]
"""Two rows by which models compete, two other rows of one model, or neither of these."""
PAIRS: dict[Family, str] = {
    "models": "all pairs of competing rows, one of each model",
    "variants": "all pairs of rows of one model",
    "others": "all pairs of rows of different models, at least one of them a variant",
}
VARIANTS = (
    "Variants (other temperatures, strengths and projections of these models) compete within their model alone: {own}: "
    "the best mean of all rows of a model, and every row not distinguishable from it, after Holm's correction for "
    f"{PAIRS['variants']}. A variant and another model, in a plot or by {{compare}}, are corrected for all such pairs."
)
"""Rule of the second family for the reader; a format string."""
_STRENGTH = re.compile(r"(?<=[^:/@])@[\d.]+(?=:|$)")


@dataclass(frozen=True)
class Families:
    """Families of the rows of a table. Each is corrected by itself, and every pair of rows is of exactly one."""

    model_of: tuple[int, ...]
    """Model of every row, as a number."""
    models: tuple[int, ...]
    """Rows by which models compete: one of each; all rows of a table of one model."""
    reasons: tuple[str, ...] = ()
    """Rows that were chosen among several temperatures, each with the reason: ``srflow τ=0.8 (the default)``."""

    @classmethod
    def alike(cls, rows: int) -> Families:
        """Families of rows that all are models of their own."""
        return cls(tuple(range(rows)), tuple(range(rows)))

    def of(self, row: int, other: int) -> Family:
        """Family of a pair of rows."""
        if row in self.models and other in self.models:
            return "models"
        return "variants" if self.model_of[row] == self.model_of[other] else "others"

    @property
    def variants(self) -> tuple[int, ...]:
        """Rows by which no model competes, model by model."""
        rows = [row for row in range(len(self.model_of)) if row not in self.models]
        return tuple(sorted(rows, key=lambda row: self.model_of[row]))

    @property
    def groups(self) -> list[list[int]]:
        """All rows of every model that has a variant."""
        with_variants = dict.fromkeys(self.model_of[row] for row in self.variants)
        return [[row for row, model in enumerate(self.model_of) if model == one] for one in with_variants]

    @property
    def words(self) -> str:
        """First family for a reader; empty if no row is a variant."""
        if not self.variants:
            return ""
        chosen = f": {', '.join(self.reasons)}" if self.reasons else ""
        return f"Models compete by one row each, which stand first{chosen}."


def families_of(settings: Sequence[Setting], models: Iterable[ModelFacts] = ()) -> Families:
    """Families of the rows of a table, given by their settings; a label without facts is its own name.

    A model competes at the temperature that was chosen for its weights, else at 0.8, or at the nearest to it that was
    measured. Its strengths (``esrgan@0.7``) and projections (``esrgan+consistent``) are variants if it is in the table
    itself. If all rows are of one model, they compete with each other.
    """
    facts = {model.label: model for model in models}
    labels = list(dict.fromkeys(setting.model for setting in settings))
    specs = {label: _spec(facts[label].spec if label in facts else label) for label in labels}
    owners = {label: _owner(label, specs) for label in labels}
    model_of = tuple(labels.index(owners[setting.model]) for setting in settings)
    if len(set(model_of)) <= 1:
        return Families(model_of, tuple(range(len(settings))))
    rows, reasons = [], []
    for owner in dict.fromkeys(owners.values()):
        places = [place for place, setting in enumerate(settings) if setting.model == owner]
        place, reason = _chosen(settings, places, facts.get(owner))
        rows.append(place)
        reasons += [f"{settings[place].label} ({reason})"] if len(places) > 1 else []
    return Families(model_of, tuple(rows), tuple(reasons))


def one_each(settings: Sequence[Setting], models: Iterable[ModelFacts]) -> list[int]:
    """One of several settings for every label, by the rule for those that compete: the one that stands for it."""
    facts = {model.label: model for model in models}
    places: dict[str, list[int]] = {}
    for place, setting in enumerate(settings):
        places.setdefault(setting.model, []).append(place)
    return [_chosen(settings, found, facts.get(label))[0] for label, found in places.items()]


def _spec(typed: str) -> str:
    """Name of a model as typed, without a label."""
    return typed.partition("=")[2] or typed


def _owner(label: str, specs: dict[str, str]) -> str:
    """Label of the model of which another one is a strength or a projection, in the same run if several are such."""
    spec, run = specs[label], label.partition(" @ ")[2]
    exact = spec.removesuffix("+consistent")
    for plainer in (exact, _STRENGTH.sub("", spec), _STRENGTH.sub("", exact)):
        found = [other for other in specs if specs[other] == plainer != spec]
        found.sort(key=lambda other: other.partition(" @ ")[2] != run)
        if found:
            return _owner(found[0], specs)
    return label


def _chosen(settings: Sequence[Setting], places: Sequence[int], facts: ModelFacts | None) -> tuple[int, str]:
    """Row by which a model competes, and the reason."""
    weights = facts.weights if facts else None
    stated = weights.temperature if weights else None
    aim = USUAL if stated is None else stated
    place = min(places, key=lambda one: abs((settings[one].temperature or 0.0) - aim))
    reason = "the default" if stated is None else "chosen for its weights on validation images"
    return place, reason if settings[place].temperature == aim else f"nearest to {aim:g}, {reason}"
