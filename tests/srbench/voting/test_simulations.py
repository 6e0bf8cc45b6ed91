"""Simulated raters with known strengths: intervals hold them, and raters who do not look are flagged."""

from __future__ import annotations

import os

from builders import STRENGTHS

from srbench.run_folder.folder import RunFolder
from srbench.voting.simulated import simulated
from srbench.voting.tally import tally_of

SIMULATIONS = int(os.environ.get("SRBENCH_SIMULATIONS", "12"))
BAD = {"rater 3": "guesses", "rater 14": "guesses", "rater 25": "left"}


def test_true_strengths_are_in_the_intervals_and_careless_raters_are_flagged(voted_run, ballots):
    """Thirty raters, 20 % noise, two who guess and one who always answers left; 100 simulations were run once."""
    run = voted_run(images=24)
    asked, folder = ballots(run, 30), RunFolder.read(run)
    inside, flagged, others = 0, 0, 0
    for seed in range(SIMULATIONS):
        found = tally_of(folder, simulated(asked, STRENGTHS, BAD, seed))
        names = {rater.name for rater in found.flagged}
        inside += all(one.log.low <= STRENGTHS[one.name] <= one.log.high for one in found.strengths)
        flagged += names >= BAD.keys()
        others += len(names - BAD.keys())
    print(f"inside {inside}, flagged {flagged}, others {others} of {SIMULATIONS}")
    assert inside >= 0.9 * SIMULATIONS
    assert flagged >= 0.9 * SIMULATIONS
    assert others <= 0.1 * 27 * SIMULATIONS
