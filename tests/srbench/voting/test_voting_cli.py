"""srbench vote on the command line, but for the page."""

from __future__ import annotations

import re

from builders import STRENGTHS

from srbench.run_folder.folder import RunFolder
from srbench.voting.records import add_votes
from srbench.voting.simulated import simulated


def test_a_tally(voted_run, ballots, command):
    run = voted_run()
    left = command("vote", run, "--tally")
    assert (left.code, left.out) == (1, "")
    assert "no votes on its images yet" in left.err
    add_votes(RunFolder.read(run), simulated(ballots(run, 8), STRENGTHS, {"rater 1": "left"}, 1))
    left = command("vote", run, "--tally")
    assert left.code == 0
    assert left.out.startswith("Preferred by people: best")
    assert re.search(r"^ *best +\d\d % +\d\d–\d\d % +\d+ +\d\d % *$", left.out, re.M), left.out
    assert "with flagged raters" in left.out
    assert "LPIPS prefers the image that people prefer in" in left.out


def test_a_plan_grows_with_the_wanted_precision(voted_run, command):
    run = voted_run(models=("best", "worst"), images=40)
    votes = {}
    for width in ("0.15", "0.08"):
        left = command("vote", run, "--plan", "--half-width", width, "--votes", "20")
        assert left.code == 0, left.err
        votes[width] = int(re.match(r"About (\d+) votes: ", left.out)[1])
        assert float(re.search(r"± ([\d.]+) %", left.out)[1]) <= 100 * float(width)
    assert votes["0.15"] < votes["0.08"]
    few = command("vote", voted_run(images=3), "--plan", "--half-width", "0.02")
    assert few.code == 1
    assert "on 3 images, not ± 2.0 %; allow a larger half width" in few.err
