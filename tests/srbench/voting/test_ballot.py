"""Ballots: what is asked, in which order and on which side, and that two calls ask the same."""

from __future__ import annotations

from collections import Counter

import pytest

from srbench.images.io import encode_png
from srbench.voting import VotingError
from srbench.voting.ballot import APART, ballot, open_candidates


def test_pairs_are_asked_equally_often_and_checks_are_added(voted_run, ballots):
    [questions] = ballots(voted_run(), 1).values()
    kinds = Counter(one.kind for one in questions)
    assert kinds == {"vote": 60, "obvious": 20, "repeat": 7}
    pairs = Counter(frozenset(side.name for side in one.sides) for one in questions if one.kind == "vote")
    assert len(pairs) == 10
    assert set(pairs.values()) == {6}
    assert sum(one.left.name == "hr" for one in questions if one.kind == "obvious") == 10
    assert len({one.id for one in questions}) == len(questions)


@pytest.mark.parametrize(("raters", "votes", "repeats"), [(5, 60, 7), (20, 8, 1)], ids=["long", "short"])
def test_a_repeat_swaps_the_sides_of_a_question_some_places_before(voted_run, ballots, raters, votes, repeats):
    for questions in ballots(voted_run(), raters, votes).values():
        places = {(one.image, one.left, one.right): place for place, one in enumerate(questions) if one.kind == "vote"}
        again = [(places[one.swapped], place) for place, one in enumerate(questions) if one.kind == "repeat"]
        assert len(again) == repeats
        assert all(later - earlier > APART for earlier, later in again)


def test_the_rater_and_the_seed_determine_the_ballot(voted_run):
    candidates = open_candidates(voted_run())
    assert ballot(candidates, "ann") == ballot(candidates, "ann")
    assert ballot(candidates, "ann") != ballot(candidates, "bob")
    assert ballot(candidates, "ann") != ballot(candidates, "ann", seed=1)


def test_few_images_end_the_ballot_and_equal_outputs_are_no_question(voted_run, ballots):
    [questions] = ballots(voted_run(models=("best", "worst"), images=3), 1).values()
    assert Counter(one.kind for one in questions) == {"vote": 3, "obvious": 1}


def test_models_and_reference_are_chosen(voted_run, make_run):
    run = make_run("sampled", {("m", 0.5): {"a": (1, 1)}, ("m", 0.8): {"a": (1, 1)}, ("n", None): {"a": (1, 1)}})
    assert [one.folder for one in open_candidates(run, ["m"]).settings] == ["m-t0.5", "m-t0.8"]
    assert [one.folder for one in open_candidates(run, ["m-t0.5", "n"], "lr").settings] == ["m-t0.5", "n"]
    with pytest.raises(VotingError, match="unknown model 'o'"):
        open_candidates(run, ["o"])
    with pytest.raises(VotingError, match="need two models, not 1"):
        open_candidates(run, ["n"])


def test_large_images_are_shown_in_part_in_whole_lr_pixels(voted_run, ballots, draw_image, monkeypatch):
    run = voted_run(images=2)
    for file in (run / "images" / "lr").iterdir():
        file.write_bytes(encode_png(draw_image(0, 200, 100)))  # the size alone is looked at
    [questions] = ballots(run, 1).values()
    windows = {one.window for one in questions}
    assert {(width, height) for _, _, width, height in windows} == {(400, 512)}
    assert all(x == 0 and y % 4 == 0 and y + height <= 800 for x, y, _, height in windows)
    assert len(windows) > 3
