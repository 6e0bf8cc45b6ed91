"""Tallies: strengths as evalica fits them, clear words where votes say little, agreement of raters and metrics."""

from __future__ import annotations

import math
import time
from itertools import combinations

import evalica
import numpy as np
import pandas as pd
import pytest
from builders import STRENGTHS

from srbench.run_folder.folder import RunFolder
from srbench.voting import VotingError
from srbench.voting.agreement import values_of
from srbench.voting.fitting import Fit, Resample
from srbench.voting.records import FILE, Vote, add_votes
from srbench.voting.simulated import simulated
from srbench.voting.strengths import Careless, careless, strengths
from srbench.voting.tally import tally, tally_of
from srbench.voting.words import metric_sentence, remarks, sentence


def answered(ballots, choose):
    """Answers to the questions that count: choose(question) -> choice."""
    return [
        Vote(rater, "2026-01-01T00:00:00+00:00", question, choose(question))
        for rater, questions in ballots.items()
        for question in questions
        if question.kind == "vote"
    ]


def better(question):
    order = list(STRENGTHS)
    return "left" if order.index(question.left.name) < order.index(question.right.name) else "right"


@pytest.mark.parametrize("models", [2, 5, 9])
def test_strengths_are_those_of_evalica(models):
    random = np.random.default_rng(models)
    counts = random.poisson(8, (3, models, models, 3)) * np.triu(np.ones((models, models)), 1)[:, :, None]
    found = strengths(counts, careless(np.zeros((3, 3))), prior=1e-9)
    for place in range(3):
        cells = [(a, b, k) for a, b in combinations(range(models), 2) for k in range(3)]
        winners = [(evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw)[k] for _, _, k in cells]
        fit = evalica.newman(
            [a for a, _, _ in cells],
            [b for _, b, _ in cells],
            winners,
            index=pd.Index(range(models)),
            weights=[float(counts[place, a, b, k]) for a, b, k in cells],
            tolerance=1e-12,
            limit=100_000,
        )
        logs = np.log(fit.scores.sort_index().to_numpy())
        assert found[place] == pytest.approx(logs - logs.mean(), abs=1e-5)


def test_careless_answers_are_taken_out():
    """A third of all answers at random halves nothing: expected counts give the strengths they were made with."""
    true = np.array([0.8, 0.0, -0.8])
    counts = np.zeros((1, 3, 3, 3))
    for a, b in combinations(range(3), 2):
        terms = np.array([math.exp(true[a] - true[b]), 1, math.exp((true[a] - true[b]) / 2) / 2])
        counts[0, a, b] = 1e6 * (0.7 * terms / terms.sum() + np.array([0.1, 0.1, 0.1]))
    lapses = careless(np.array([[80.0, 10.0, 10.0]]))
    assert lapses.all == pytest.approx([0.3])
    assert strengths(counts, lapses)[0] == pytest.approx(true, abs=1e-3)
    none = Careless(np.zeros(1), np.zeros(1))
    assert abs(strengths(counts, none)[0][0]) < 0.6


def test_thirty_raters_in_words(voted_run, ballots):
    run = voted_run(images=24)
    asked = ballots(run, 30)
    habits = {"rater 3": "guesses", "rater 25": "left"}
    add_votes(RunFolder.read(run), simulated(asked, STRENGTHS, habits, 1))
    start = time.monotonic()
    found = tally(run)
    assert time.monotonic() - start < 60, "a second on an idle core"
    assert [one.name for one in found.strengths] == list(STRENGTHS)
    assert {one.name for one in found.flagged} >= habits.keys()
    assert found.strengths != found.by_all
    assert sentence(found).startswith("Preferred by people: best, ")
    assert "ahead of good" in sentence(found)
    notes = "\n".join(remarks(found))
    assert "rater 25 (" in notes
    assert "Careless answers, estimated from obvious questions: " in notes
    lpips, psnr = (next(one for one in found.metrics if one.metric.name == name) for name in ("lpips", "psnr"))
    assert found.metrics[0] is lpips
    assert lpips.accuracy.value > 0.6 > psnr.accuracy.value
    assert lpips.accuracy.low < lpips.accuracy.value < lpips.accuracy.high
    assert lpips.correlation.value == pytest.approx(1)
    assert "rank correlation over models 1.00 (" in metric_sentence(lpips)
    assert 0 < found.alpha < 0.7


def test_the_tally_does_not_depend_on_the_order_of_raters(voted_run, ballots):
    run = voted_run()
    votes = simulated(ballots(run, 6), STRENGTHS, {}, 1)
    folder = RunFolder.read(run)
    one, other = (tally_of(folder, some) for some in (votes, sorted(votes, key=lambda vote: vote.rater, reverse=True)))
    assert [found.log.value for found in one.strengths] == pytest.approx([found.log.value for found in other.strengths])


def test_a_model_that_always_wins_has_an_end_in_words(voted_run, ballots):
    run = voted_run(models=("best", "good", "worst"))
    order = {"best": 2, "good": 1, "worst": 1}
    alternate = iter(["left", "right"] * 1000)
    votes = answered(
        ballots(run, 8),
        lambda one: (
            next(alternate)
            if "best" not in (one.left.name, one.right.name)
            else ("left" if order[one.left.name] == 2 else "right")
        ),
    )
    found = tally_of(RunFolder.read(run), votes)
    first, *others = found.strengths
    assert (first.name, first.always, first.log.high) == ("best", "won", math.inf)
    assert first.text.startswith("at least ")
    assert 0.4 < first.preferred.low < 0.9
    assert all(math.isfinite(one.log.low + one.log.high) for one in others), "others keep their intervals"
    assert any("best won every vote, so its strength is only known to be at least" in line for line in remarks(found))
    assert "inf" not in " ".join([sentence(found), *remarks(found)])


def test_all_votes_equal_ties_alone_and_all_models_in_order(voted_run, ballots):
    run = voted_run()
    folder, asked = RunFolder.read(run), ballots(run, 4)
    ties = tally_of(folder, answered(asked, lambda one: "neither"))
    assert sentence(ties) == 'Votes decide nothing: all of 240 votes of 4 raters on 12 images are "cannot tell".'
    assert [one.preferred.value for one in ties.strengths] == pytest.approx([0.5] * 5)
    assert math.isnan(ties.alpha)
    ordered = tally_of(folder, answered(asked, better))
    assert [one.name for one in ordered.strengths] == list(STRENGTHS)
    assert [one.always for one in ordered.strengths] == ["won", "", "", "", "lost"]
    assert ordered.strengths[-1].text.startswith("at most ")
    assert all(math.isfinite(one.log.value) for one in ordered.strengths)


def test_one_rater_and_one_image(voted_run, ballots):
    run = voted_run(images=1)
    folder = RunFolder.read(run)
    alone = tally_of(folder, answered(ballots(run, 1), better))
    notes = "\n".join(remarks(alone))
    for words in (
        "One rater: ",
        "One image: ",
        "No intervals: ",
        "best won every vote, so its strength is not bounded",
    ):
        assert words in notes
    assert all(not one.between for one in alone.strengths)
    assert "won every vote" in sentence(alone)
    assert "not distinguishable" in sentence(alone), "without an interval nothing is"
    several = tally_of(folder, simulated(ballots(run, 12), STRENGTHS, {}, 1))
    assert all(one.between or one.always for one in several.strengths)


def test_models_that_were_never_compared_and_raters_all_flagged(voted_run, ballots):
    run = voted_run()
    folder, asked = RunFolder.read(run), ballots(run, 3)
    guessing = simulated(asked, STRENGTHS, dict.fromkeys(asked, "left"), 0)
    assert sentence(tally_of(folder, guessing)) == "Votes decide nothing: all of 3 raters are flagged."
    pair = [vote for vote in answered(asked, better) if {one.name for one in vote.question.sides} == {"best", "good"}]
    assert {one.name for one in tally_of(folder, pair).strengths} == {"best", "good"}


def test_no_votes(voted_run):
    run = voted_run()
    with pytest.raises(VotingError, match="no votes on its images yet"):
        tally(run)
    assert not (run / FILE).exists()


def test_agreement_of_raters_does_not_depend_on_the_order_of_models(voted_run, ballots):
    """All agree, so alpha is 1, although the first model always wins."""
    run = voted_run(images=6)
    asked = {f"rater {n}": ballots(run, 1)["rater 0"] for n in range(3)}
    found = tally_of(RunFolder.read(run), answered(asked, better))
    assert found.alpha == pytest.approx(1)


def test_of_several_samples_the_first_counts_which_was_shown(make_run):
    values = {("one", 0.5): {"a": ([30.0, 0.0], [0.1, 0.9])}, ("two", 0.5): {"a": ([20.0, 29.0], [0.2, 0.2])}}
    found = values_of(RunFolder.read(make_run("run", values)), ["one-t0.5", "two-t0.5"], ["a"])
    assert {name: each.tolist() for name, each in found.items()} == {"psnr": [[30.0], [20.0]], "lpips": [[0.1], [0.2]]}


def test_a_share_has_an_interval_however_wide():
    logs = np.zeros((200, 20))
    logs[::2, 0], logs[1::2, 0] = 6, -6
    fit = Fit(np.zeros(20), 0.0, (Resample(np.ones((200, 1)), np.ones((1, 1)), logs),), 2)
    assert (fit.share(0).low, fit.share(0).high) == (0, 1)
