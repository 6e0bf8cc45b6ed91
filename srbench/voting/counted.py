"""Votes as arrays: who was asked about which image and models, with which outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srbench.voting.records import HR, Vote

FIRST, SECOND, NEITHER = 0, 1, 2
"""Outcomes: the model with the smaller index, the other one, cannot tell."""
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Counted:
    """Votes on the questions of one kind, (n,) each; models, raters and images by index."""

    models: int
    images: int
    rater: Integers
    image: Integers
    first: Integers
    """Model with the smaller index; of an obvious question, 0, which is HR."""
    second: Integers
    outcome: Integers

    def of(self, raters: NDArray[np.bool_]) -> Counted:
        """The votes that some raters gave, (raters,); the others keep their indices."""
        mine = raters[self.rater]
        columns = (self.rater, self.image, self.first, self.second, self.outcome)
        return Counted(self.models, self.images, *(column[mine] for column in columns))

    def counts(self, weights: Floats) -> Floats:
        """Answers by pair of models and outcome, where first < second: (resamples, models, models, 3).

        ``weights`` are those of every answer in every resample, (resamples, n).
        """
        cell = (self.first * self.models + self.second) * 3 + self.outcome
        cells = self.models * self.models * 3
        found: Floats = np.stack([np.bincount(cell, row, minlength=cells) for row in weights], dtype=np.float64)
        return found.reshape(-1, self.models, self.models, 3)


def counted(votes: Sequence[Vote], models: Sequence[str], raters: Sequence[str], images: Sequence[str]) -> Counted:
    """Votes of one kind as arrays; ``models`` are names of images in questions. Raises KeyError for other names."""
    model, rater, image = ({name: place for place, name in enumerate(names)} for names in (models, raters, images))
    columns: list[tuple[int, int, int, int, int]] = []
    for vote in votes:
        left, right = model[vote.question.left.name], model[vote.question.right.name]
        if vote.choice == "neither":
            outcome = NEITHER
        else:
            outcome = FIRST if (vote.choice == "left") == (left < right) else SECOND
        columns.append((rater[vote.rater], image[vote.question.image], min(left, right), max(left, right), outcome))
    arrays = np.array(columns, dtype=np.int64).reshape(-1, 5).T
    return Counted(len(models), len(images), *arrays)


def is_right(vote: Vote) -> bool:
    """True if the answer to an obvious question is HR."""
    side = {"left": vote.question.left, "right": vote.question.right}.get(vote.choice)
    return side is not None and side.name == HR
