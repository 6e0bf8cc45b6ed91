"""Ballots: what is asked, on which side, and that two calls ask the same."""

from __future__ import annotations

from collections import Counter

import pytest

from srbench.images.io import write_png
from srbench.voting import VotingError
from srbench.voting.ballot import ballot, open_candidates


def test_pairs_are_asked_equally_often_on_different_images_and_on_both_sides(run):
    candidates = open_candidates(run)
    questions = ballot(candidates, "ann", 30, 0)
    assert ballot(candidates, "ann", 30, 0) == questions
    assert questions not in (ballot(candidates, "bob", 30, 0), ballot(candidates, "ann", 30, 1))
    pairs = Counter(frozenset((question.left.name, question.right.name)) for question in questions)
    assert sorted(pairs.values()) == [10, 10, 10]
    assert len({question.id for question in questions}) == 30
    assert len({(question.image, question.left, question.right) for question in questions}) == 30
    lefts = Counter(question.left.name for question in questions)
    assert all(2 <= lefts[name] <= 18 for name in ("best", "fair", "worst"))
    assert len(ballot(candidates, "ann", 1000, 0)) == 36, "three pairs on twelve images"


def test_equal_outputs_are_no_question(make_run, greys):
    run = make_run("run", {("m", None): {"a": (1, 1)}, ("n", None): {"a": (1, 1)}})
    equal = open_candidates(run)
    file, other = (equal.file("a", name)[0] for name in ("m", "n"))
    lines = (run / "samples.jsonl").read_text()
    digests = [equal.file("a", name)[1] for name in ("m", "n")]
    for one, two in ((digests[1].pixels, digests[0].pixels), (digests[1].sha256, digests[0].sha256)):
        lines = lines.replace(one, two)
    (run / "samples.jsonl").write_text(lines)
    other.write_bytes(file.read_bytes())
    with pytest.raises(VotingError, match="equal on all images"):
        ballot(open_candidates(run), "ann", 60, 0)


def test_models_and_reference_are_chosen(make_run):
    run = make_run("run", {("m", 0.5): {"a": (1, 1)}, ("m", 0.8): {"a": (1, 1)}, ("n", None): {"a": (1, 1)}})
    assert [setting.folder for setting in open_candidates(run, ["m"]).settings] == ["m-t0.5", "m-t0.8"]
    assert [setting.folder for setting in open_candidates(run, ["m-t0.5", "n"]).settings] == ["m-t0.5", "n"]
    assert (open_candidates(run).reference, open_candidates(run, reference="lr").reference) == ("hr", "lr")
    for models, words in ((["o"], "unknown model 'o'"), (["n"], "need at least two models, not 1")):
        with pytest.raises(VotingError, match=words):
            open_candidates(run, models)


def test_images_with_changed_files_are_left_out(run, draw_image):
    write_png(run / "images" / "best" / "i3.png", draw_image(0, 24, 24))
    (run / "images" / "hr" / "i4.png").unlink()
    assert {"i3", "i4"}.isdisjoint(open_candidates(run).images)
    assert "i4" in open_candidates(run, reference="lr").images


def test_a_part_of_a_large_image_is_shown_in_whole_lr_pixels(run, monkeypatch):
    monkeypatch.setattr("srbench.voting.ballot.LARGEST_WINDOW", 10)
    windows = {question.window for question in ballot(open_candidates(run), "ann", 30, 0)}
    assert len(windows) > 3
    for x, y, width, height in windows:
        assert (width, height, x % 4, y % 4) == (8, 8, 0, 0)
        assert max(x, y) <= 16
