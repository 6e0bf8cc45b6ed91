"""Studies and their pages: what is asked, the images shown, and that nothing names them."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from srbench.images.io import write_png
from srbench.run_folder import RunFolderError
from srbench.voting import VotingError
from srbench.voting.page import page
from srbench.voting.study import open_study, turns


@pytest.fixture
def study(run):
    return open_study(run)


def questions(study, *arguments, **more):
    return [study.question(asked) for turn in turns(study, *arguments, **more) for asked in turn]


def test_a_turn_asks_about_every_pair_and_no_image_twice_about_a_pair(run, study):
    assert turns(open_study(run)) == turns(study), "the key is kept"
    for turn in turns(study):
        pairs = [frozenset((one.left.name, one.right.name)) for one in map(study.question, turn)]
        assert len(pairs) == len({*pairs}) == 3
    asked = questions(study)
    assert len({(one.image, frozenset((one.left, one.right))) for one in asked}) == len(asked) == 36
    lefts = Counter(one.left.name for one in asked)
    assert all(4 <= lefts[name] <= 20 for name in ("best", "fair", "worst"))
    (run / "study.key").unlink()
    with pytest.raises(VotingError, match="nobody has been asked yet; write a page for raters with srbench vote"):
        open_study(run)
    other = open_study(run, begin=True)
    assert other.id != study.id
    assert {*other.parts}.isdisjoint(study.parts)


@pytest.mark.parametrize("key", ["", "0" * 31, "g" * 32, "\udcff" * 32])
def test_a_damaged_key_is_refused(run, key):
    (run / "study.key").write_bytes(key.encode(errors="surrogateescape"))
    with pytest.raises(VotingError, match=r"study\.key: damaged; restore it, or move it away"):
        open_study(run)


def test_a_link_is_no_key(run, tmp_path):
    (run / "study.key").rename(tmp_path / "elsewhere")
    (run / "study.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match=r"study\.key: a link"):
        open_study(run)


def test_equal_outputs_are_no_question(make_run, greys):
    run = make_run("run", {("m", None): {"a": (1, 1)}, ("n", None): {"a": (1, 1)}})
    study = open_study(run, begin=True)
    files = [part.file for part in study.parts.values() if part.shown.name in ("m", "n")]
    lines = (run / "samples.jsonl").read_text()
    digests = [study.run.sample(setting, "a").outputs[0] for setting in study.run.manifest.settings]
    for one, two in ((digests[1].pixels, digests[0].pixels), (digests[1].sha256, digests[0].sha256)):
        lines = lines.replace(one, two)
    (run / "samples.jsonl").write_text(lines)
    files[1].write_bytes(files[0].read_bytes())
    study = open_study(run)
    with pytest.raises(VotingError, match="equal on all images"):
        turns(study)
    names = {part.shown.name: name for name, part in study.parts.items()}
    with pytest.raises(VotingError, match="not a question"):
        study.question((names["hr"], names["m"], names["n"]))


def test_models_and_reference_are_chosen(make_run):
    run = make_run("run", {("m", 0.5): {"a": (1, 1)}, ("m", 0.8): {"a": (1, 1)}, ("n", None): {"a": (1, 1)}})
    study = open_study(run, begin=True)
    for models, names in ((["m"], {"m-t0.5", "m-t0.8"}), (["m-t0.5", "n"], {"m-t0.5", "n"})):
        [question] = questions(study, models)
        assert {question.left.name, question.right.name} == names
        assert question.reference.name == "hr"
    assert {question.reference.name for question in questions(study, reference="lr")} == {"lr"}
    for models, words in ((["o"], "unknown model 'o'"), (["n"], "need at least two models, not 1")):
        with pytest.raises(VotingError, match=words):
            turns(study, models)


def test_images_with_changed_files_are_left_out(run, draw_image):
    write_png(run / "images" / "best" / "i3.png", draw_image(0, 24, 24))
    (run / "images" / "hr" / "i4.png").unlink()
    study = open_study(run)
    assert {"i3", "i4"}.isdisjoint(question.image for question in questions(study))
    assert "i4" in {question.image for question in questions(study, reference="lr")}


def test_a_part_of_a_large_image_is_shown_in_whole_lr_pixels(run, monkeypatch):
    monkeypatch.setattr("srbench.voting.study.LARGEST_WINDOW", 10)
    windows = {question.window for question in questions(open_study(run))}
    assert len(windows) > 3
    for x, y, width, height in windows:
        assert (width, height, x % 4, y % 4) == (8, 8, 0, 0)
        assert max(x, y) <= 16


@pytest.mark.parametrize("reference", ["hr", "lr"])
def test_the_page_shows_windows_of_the_images_and_nothing_names_them(run, reference, monkeypatch, command):
    monkeypatch.setattr("srbench.voting.study.LARGEST_WINDOW", 16)
    assert command("vote", run, "--reference", reference, "--out", "study").code == 0
    study = open_study(run)
    files = dict(page(study, turns(study, reference=reference), 60))
    for name, content in files.items():
        written = run.parent / "study" / name
        assert written.read_bytes() == content
        if name != "index.html":
            part = study.parts[written.stem]
            kept = np.asarray(Image.open(part.file).convert("RGB"))
            x, y, width, height = (number // (4 if part.shown.name == "lr" else 1) for number in part.window)
            assert np.array_equal(np.asarray(Image.open(written)), kept[y : y + height, x : x + width])
    assert len(files) == 1 + 4 * 12
    told = re.sub("[0-9a-f]{16}|[A-Za-z0-9+/]{43}=", "", "".join([*files, files["index.html"].decode()]))
    assert not re.search(r"\b(best|fair|worst|i\d+)\b", told)
    assert study.key not in told


def test_names_with_markup_are_not_on_the_page(make_run):
    names = ("<script>alert(1)<", "'\"><img src=x onerror=alert(1)>")
    run = make_run("run", {(name, None): {"<b>alert(1)": (1, 1)} for name in names})
    study = open_study(run, begin=True)
    files = dict(page(study, turns(study), 60))
    assert len(files) == 1 + 3
    assert "alert(" not in "".join([*files, files["index.html"].decode()])


def test_a_page_with_changes_is_not_replaced(run, command):
    assert "Page: run/vote/index.html" in command("vote", run.name).out
    before = (run / "vote" / "index.html").read_bytes()
    assert command("vote", run.name).code == 0
    assert (run / "vote" / "index.html").read_bytes() == before
    (run / "vote" / "index.html").write_text("mine")
    left = command("vote", run.name)
    assert left.code == 1
    assert "added or changed since srbench wrote" in left.err
    assert (run / "vote" / "index.html").read_text() == "mine"
