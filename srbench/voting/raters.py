"""Judgement of raters by the questions that do not count: obvious ones, and repeats with the sides swapped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from srbench.voting.counted import is_right
from srbench.voting.records import Vote

GUESSING = 0.01
"""A rater is flagged unless guessing would be right so often, on obvious questions, with a smaller probability."""
STUCK = 0.01
"""A rater is flagged if chance would name the same side again, in repeats, so often with a smaller probability."""
FEWEST = 7
"""Least number of obvious questions by which a rater is judged: with fewer, all right is no evidence."""
RULE = (
    f"A rater is flagged if the choices between HR and LR (obvious questions) could be guesses (probability of "
    f"{GUESSING * 100:.0f} % or more), or if the same side is chosen again in swapped repeats more often than by "
    f"chance (p < {STUCK}). With fewer than {FEWEST} obvious questions, the first rule flags nobody."
)


@dataclass(frozen=True)
class Rater:
    """A rater, judged by questions that do not count."""

    name: str
    obvious: int
    right: int
    """Obvious questions, and how many were answered rightly; "cannot tell" is not right."""
    repeats: int
    same_side: int
    """Repeats in which a side was named both times, and how often it was the same side: the other image."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons to flag the rater; empty if there are none."""
        found = []
        if self.obvious >= FEWEST and _at_least(self.right, self.obvious) >= GUESSING:
            found.append(f"{self.right} of {self.obvious} obvious questions right, which may be guessing")
        if self.repeats and _at_least(self.same_side, self.repeats) < STUCK:
            found.append(f"the same side, so the other image, in {self.same_side} of {self.repeats} repeats")
        return tuple(found)

    @property
    def is_judged(self) -> bool:
        """True if there are enough obvious questions to judge by."""
        return self.obvious >= FEWEST


def judged(votes: Iterable[Vote]) -> list[Rater]:
    """Raters of some votes, in the order of their first vote."""
    by_rater: dict[str, list[Vote]] = {}
    for vote in votes:
        by_rater.setdefault(vote.rater, []).append(vote)
    return [_judged(name, mine) for name, mine in by_rater.items()]


def _judged(name: str, votes: Sequence[Vote]) -> Rater:
    first = {
        (vote.question.image, vote.question.left, vote.question.right): vote
        for vote in votes
        if vote.question.kind == "vote"
    }
    obvious = [vote for vote in votes if vote.question.kind == "obvious"]
    again = [
        (first[vote.question.swapped].choice, vote.choice)
        for vote in votes
        if vote.question.kind == "repeat" and vote.question.swapped in first
    ]
    sided = [(one, other) for one, other in again if "neither" not in (one, other)]
    same_side = sum(one == other for one, other in sided)
    return Rater(name, len(obvious), sum(map(is_right, obvious)), len(sided), same_side)


def _at_least(hits: int, trials: int) -> float:
    """Probability that chance hits so often or more, with one half in each trial."""
    from scipy.stats import binom

    return float(binom.sf(hits - 1, trials, 0.5))
