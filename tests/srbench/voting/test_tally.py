"""The result of votes: strengths beside scipy's, intervals that hold the truth, metrics, and damaged or old records."""

from __future__ import annotations

import math
import re
from itertools import combinations

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.optimize import minimize
from scipy.stats import binom, kendalltau

from srbench.cli.voting import _table
from srbench.run_folder import RunFolderError
from srbench.run_folder.records import append
from srbench.terminal.output import show
from srbench.voting import VotingError
from srbench.voting.records import Vote, read_votes
from srbench.voting.tally import VoteArrays, lead_of, tally
from srbench.voting.words import agreement_table, remarks, sentence, strength_table


def shares(logs):
    """Mean probability of being preferred to another model."""
    wins = 1 / (1 + np.exp(logs[None] - logs[:, None]))
    return (wins.sum(axis=1) - 0.5) / (len(logs) - 1)


@pytest.mark.parametrize("models", [2, 5, 9])
def test_strengths_maximize_the_likelihood(models):
    random = np.random.default_rng(models)
    left, right = np.array([random.permutation(models)[:2] for _ in range(200)]).T
    choice, weights = random.integers(-1, 2, 200), random.integers(0, 3, 200).astype(float)
    pairs = np.array(list(combinations(range(models), 2))).T
    first, second = np.append(left, pairs[0]), np.append(right, pairs[1])  # half a win for both sides of every pair
    won, weight = np.append((1 + choice) / 2, np.full(len(pairs[0]), 0.5)), np.append(weights, np.ones(len(pairs[0])))

    def loss(logs):
        gaps = logs[first] - logs[second]
        return (weight * (won * np.logaddexp(0, -gaps) + (1 - won) * np.logaddexp(0, gaps))).sum() + logs.mean() ** 2

    expected = shares(minimize(loss, np.zeros(models), tol=1e-10).x)
    found = VoteArrays(models, left, right, np.zeros(200, int), choice).preferred(weights)
    assert found == pytest.approx(expected, abs=1e-5)


def test_intervals_contain_the_true_strengths(run, add_votes, strengths):
    """Thirty raters with known strengths."""
    add_votes(run, 30)
    result = tally(run)
    true = dict(zip(strengths, shares(np.array([*strengths.values()])), strict=True))
    assert [strength.label for strength in result.strengths] == ["best", "fair", "worst"]
    for strength in result.strengths:
        assert strength.low < true[strength.label] < strength.high
        assert strength.low < strength.preferred < strength.high < strength.low + 0.2
        assert strength.votes == 30 * 24
    assert (result.votes, result.raters, result.images, result.outdated) == (1080, 30, 12, 0)
    assert result.lead == "decided"
    assert "ahead of fair" in sentence(result)


def test_few_votes_are_too_few(run, add_votes):
    add_votes(run, 1, votes=5)
    result = tally(run)
    assert sentence(result) == (
        "Votes decide nothing: of 5 votes of 1 rater on 5 images, an output is preferred on 5 images; a verdict needs "
        "at least 6 images."
    )
    for table, columns in (
        (strength_table(result), (1, 2)),
        (agreement_table(result.agreements), (1, 2)),
    ):
        assert {tuple(row[column] for column in columns) for row in table[1:]} == {("too few", "–")}
    add_votes(run, 2, votes=36)
    assert "too few" not in str(
        [sentence(tally(run)), strength_table(tally(run)), agreement_table(tally(run).agreements)]
    )


def test_six_votes_on_two_images_decide_nothing(run, add_votes):
    """Two images are no test, however many votes agree on them; votes that cannot tell do not count for a model."""
    on_two = [vote for vote in add_votes(run, 12) if vote.question.image in ("i0", "i1")]
    result = tally(only(run, on_two))
    assert (result.votes > 20, result.decided_images, result.lead) == (True, 2, "too few")
    assert {cells[1] for cells in strength_table(result)[1:]} == {"too few"}
    neither = [replace(vote, choice="neither") if "best" in shown(vote) else vote for vote in on_two]
    assert {strength.label: strength.votes for strength in tally(only(run, neither)).strengths}["best"] == 0


def shown(vote):
    return {vote.question.left.name, vote.question.right.name}


def only(run, votes):
    (run / Vote.FILE).unlink()
    append(run, votes)
    return run


@pytest.mark.parametrize("images", [5, 8, 12])
def test_of_equal_models_one_is_ahead_in_at_most_one_vote_of_twenty(images):
    """People like one output of an image better, but no model."""
    random, ahead, tried = np.random.default_rng(images), 0, 100
    for _ in range(tried):
        looks, image = random.normal(0, 2, images), np.repeat(np.arange(images), 4)
        choice = np.where(random.random(4 * images) < 1 / (1 + np.exp(-looks[image])), 1, -1)
        ahead += lead_of(VoteArrays(2, np.zeros_like(image), np.ones_like(image), image, choice)) == "decided"
    assert ahead <= binom.ppf(0.999, tried, 0.05 * (images >= 6))


def test_agreement_of_metrics(run, add_votes):
    """LPIPS ranks as these raters do; PSNR has its own order."""
    order = ["best", "fair", "worst"]
    add_votes(
        run, 2, lambda asked, _: "left" if order.index(asked.left.name) < order.index(asked.right.name) else "right"
    )
    lpips, psnr = tally(run).agreements.rows
    assert (lpips.metric.name, lpips.share, lpips.pairs, lpips.correlation) == ("lpips", 1, 72, pytest.approx(1))
    values = np.array([[25.0 + (7 * n + 3 * place) % 5 for n in range(12)] for place in range(3)])
    agreed = [values[a, n] > values[b, n] for a, b in combinations(range(3), 2) for n in range(12)]
    assert psnr.share == pytest.approx(np.mean(agreed))
    assert psnr.correlation == pytest.approx(kendalltau(values.mean(axis=1), [3, 2, 1]).statistic)


def test_the_first_sample_counts_which_was_shown(make_run, add_votes):
    values = {("one", 0.5): {"a": ([30.0, 0.0], [0.1, 0.9])}, ("two", 0.5): {"a": ([20.0, 29.0], [0.2, 0.2])}}
    run = make_run("run", values)
    add_votes(run, 1, lambda asked, _: "left" if asked.left.name == "one-t0.5" else "right")
    result = tally(run)
    assert [agreement.share for agreement in result.agreements.rows] == [1, 1]
    assert all(math.isnan(agreement.correlation) for agreement in result.agreements.rows), "two models"
    assert math.isnan(result.strengths[0].low)
    assert "One image" in " ".join(remarks(result))


def test_votes_on_parts_of_images_are_not_passed_off_as_votes_on_what_metrics_measure(run, add_votes, monkeypatch):
    add_votes(run, 1)
    assert (tally(run).of_parts, "part" in " ".join(remarks(tally(run)))) == (0, False)
    monkeypatch.setattr("srbench.voting.study.LARGEST_WINDOW", 8)
    add_votes(run, 2)  # the first rater is asked about parts, too
    assert tally(run).of_parts == 72
    assert (
        "72 of 108 votes are on a part of a larger image, but the metrics measure the whole image; in a run with "
        "--crop 512, people see what the metrics measure."
    ) in remarks(tally(run))


def test_cannot_tell_alone_decides_nothing(run, add_votes):
    add_votes(run, 2, lambda *_: "neither")
    result = tally(run)
    assert [strength.preferred for strength in result.strengths] == pytest.approx([0.5] * 3)
    assert (result.lead, result.agreements.rows) == ("too few", ())
    assert sentence(result) == (
        'Votes decide nothing: of 72 votes of 2 raters on 12 images, all are "cannot tell"; a verdict needs at least '
        "6 images."
    )


def test_votes_on_replaced_images_are_left_out(run, add_votes):
    votes = add_votes(run, 2)
    old = votes[0].question.left.pixels
    (run / "samples.jsonl").write_text((run / "samples.jsonl").read_text().replace(old, "0" * 64))
    affected = sum(old in (vote.question.left.pixels, vote.question.right.pixels) for vote in votes)
    result = tally(run)
    assert (result.outdated, result.votes) == (affected, 72 - affected)
    assert f"{affected} votes left out: the run has since replaced an image." in remarks(result)
    pairs = run / "pairs.jsonl"
    pairs.write_text(pairs.read_text().replace(votes[0].question.reference.pixels, "0" * 64))
    with pytest.raises(VotingError, match="no votes on its current images"):
        tally(run)


def test_merged_torn_and_damaged_records(run, add_votes):
    votes = add_votes(run, 2)
    file = run / Vote.FILE
    other = file.read_text().replace("rater 0", "of another copy").replace('"choice": "left"', '"choice": "right"')
    file.write_text(file.read_text() + other + '{"rater": "torn')
    merged = read_votes(run)
    assert merged[:72] == votes
    assert len(merged) == 72 + 36, "the second answers of rater 1 do not count"
    file.write_text(file.read_text() + "\n")
    with pytest.raises(RunFolderError, match="line 145 is damaged"):
        tally(run)
    for name in ("hr", "fair"):
        file.write_text(re.sub(r'"(best|worst)"', f'"{name}"', other))
        with pytest.raises(RunFolderError, match=r"line 1 is damaged .*is not a question"):
            tally(run)
    file.unlink()
    with pytest.raises(VotingError, match="no votes"):
        tally(run)


def test_labels_with_brackets_are_printed_as_they_are(capsys):
    show(_table([["model", "preferred"], ["net[v2]", "60 %"]]))
    assert "net[v2]" in capsys.readouterr().out
