"""Number of votes that a wanted interval takes, found beforehand by simulated raters on the run's own images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from srbench.voting import VotingError
from srbench.voting.ballot import Candidates, ballot
from srbench.voting.simulated import NOISE, simulated
from srbench.voting.tally import tally_of

SPREAD, IMAGE_SPREAD = 1.0, 0.4
"""Assumed strengths lie between -SPREAD and SPREAD, evenly, and differ by IMAGE_SPREAD from image to image."""
ASSUMED = (
    f"models of evenly spread strengths, the best of which is preferred to the worst in about "
    f"{100 / (1 + math.exp(-2 * SPREAD)):.0f} % of decided comparisons, with differences from image to image, and for "
    f"raters of whom each answers {NOISE * 100:.0f} % of the questions at random"
)
MOST = 300
"""Largest number of raters that is tried."""
_BALLOTS = 30
"""Number of different ballots; more raters answer them again."""
_FIRST, _FEWEST = 12, 3
"""Number of raters that is tried first, and the smallest one."""
_SIMULATIONS = 3
_TRIALS = 3


@dataclass(frozen=True)
class Plan:
    """Votes that reach a half width."""

    raters: int
    questions: int
    """Number of questions in a ballot, obvious and repeated ones included."""
    votes: int
    """Number of them that count."""
    half_width: float
    """Simulated half width of the widest 95 % interval of the models' shares."""

    @property
    def sentence(self) -> str:
        """The plan for a reader."""
        total = self.raters * self.votes
        return (
            f"About {total} votes: {self.raters} raters who answer {self.questions} questions each, of which "
            f"{self.votes} count, give 95 % intervals of ± {100 * self.half_width:.1f} % or less. Simulated for "
            f"{ASSUMED}."
        )


def plan(candidates: Candidates, half_width: float, votes: int, seed: int = 0) -> Plan:
    """Find the number of raters for a half width of the models' shares, such as 0.05, with ``votes`` from each.

    Half widths fall as one over the square root of the number of raters, which leads from one trial to the next.
    Raises VotingError if MOST raters are not enough.
    """
    names = [setting.folder for setting in candidates.settings]
    strengths = dict(zip(names, np.linspace(-SPREAD, SPREAD, len(names)).tolist(), strict=True))
    ballots = [ballot(candidates, f"simulated {place}", votes, seed) for place in range(_BALLOTS)]

    def reached(raters: int) -> float:
        asked = {f"simulated {place}": ballots[place % _BALLOTS] for place in range(raters)}
        votes_of = [simulated(asked, strengths, {}, k, IMAGE_SPREAD) for k in range(_SIMULATIONS)]
        tallies = [tally_of(candidates.run, found) for found in votes_of]
        widths = [[one.preferred.high - one.preferred.low for one in found.strengths] for found in tallies]
        return fmean(max(1.0 if math.isnan(one) else one for one in found) / 2 for found in widths)

    raters = _FIRST
    for _ in range(_TRIALS):
        raters = min(max(math.ceil(raters * (reached(raters) / half_width) ** 2), _FEWEST), MOST)
    while (found := reached(raters)) > half_width and raters < MOST:
        raters = min(math.ceil(1.1 * raters), MOST)
    if found > half_width:
        raise VotingError(
            f"{raters} raters would reach ± {100 * found:.1f} % on {len(candidates.images)} images, not "
            f"± {100 * half_width:.1f} %; allow a larger half width, or vote on more images or fewer models"
        )
    return Plan(raters, len(ballots[0]), sum(one.kind == "vote" for one in ballots[0]), found)
