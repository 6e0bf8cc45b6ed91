"""Simulated raters, who answer real ballots as models of known strengths let them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from srbench.voting.counted import Floats, Integers
from srbench.voting.records import HR, LR, Choice, Question, Vote
from srbench.voting.strengths import probabilities

Habit = Literal["looks", "guesses", "left"]
"""Habit of a rater: looks at the images, names a side at random, or always names the left one."""
NOISE = 0.2
"""Share of votes that name a side at random, although the rater looks."""
_TIES = -0.7
"""log(2 v) of Davidson's model: 20 % "cannot tell" between equal models."""
_OBVIOUS = 20.0
"""Difference of the strengths of HR and LR."""
CHOICES: tuple[Choice, ...] = ("left", "right", "neither")


def simulated(
    ballots: Mapping[str, Sequence[Question]],
    strengths: Mapping[str, float],
    habits: Mapping[str, Habit],
    seed: int,
    image_spread: float = 0.0,
) -> list[Vote]:
    """Answers in ballots by rater, in order; raters without a habit look at the images.

    ``strengths`` are natural logarithms by the folder of the setting; from image to image they have the standard
    deviation ``image_spread``.
    """
    random = np.random.default_rng(seed)
    asked = [(rater, question) for rater, questions in ballots.items() for question in questions]
    names, images = [*strengths, HR, LR], sorted({question.image for _, question in asked})
    means = [*strengths.values(), _OBVIOUS, 0.0]
    known = random.normal(means, image_spread, (len(images), len(names)))
    rows = [images.index(question.image) for _, question in asked]
    left, right = ([names.index(question.sides[side].name) for _, question in asked] for side in (0, 1))
    gaps = known[rows, left] - known[rows, right]
    looked = _drawn(probabilities(gaps, np.full(len(gaps), _TIES)), random)
    sides = random.integers(2, size=len(asked))
    is_careless = random.random(len(asked)) < NOISE
    votes = []
    for place, (rater, question) in enumerate(asked):
        habit = habits.get(rater, "looks")
        at_random = habit == "guesses" or (habit == "looks" and is_careless[place])
        choice = 0 if habit == "left" else sides[place] if at_random else looked[place]
        votes.append(Vote(rater, "2026-01-01T00:00:00+00:00", question, CHOICES[choice]))
    return votes


def _drawn(shares: Floats, random: np.random.Generator) -> Integers:
    """Places drawn with these probabilities, (n, k) -> (n,)."""
    places: Integers = (random.random(len(shares))[:, None] > shares.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return places
