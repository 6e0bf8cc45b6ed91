"""votes.jsonl: appended by several, each question once; edited, foreign and replaced votes are found."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from srbench.benchmark.verify import verify
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.voting import VotingError
from srbench.voting.records import FILE, Shown, Vote, add_votes, rater_name, read_votes


@pytest.fixture
def voted(voted_run, ballots):
    """A run with twenty votes of two raters, and those votes."""
    run = voted_run(images=4)
    votes = [
        Vote(rater, "2026-01-01T00:00:00+00:00", question, "left")
        for rater, questions in ballots(run, 2).items()
        for question in questions[:10]
    ]
    assert add_votes(RunFolder.read(run), votes) == 20
    return run, votes


def rules(run):
    return {line.split()[0] for line in verify(run).of("contradicted", "note") if line.startswith(("SRB01", "SRB21"))}


def test_votes_are_read_back_and_no_question_counts_twice(voted):
    run, votes = voted
    assert read_votes(run) == votes
    assert add_votes(RunFolder.read(run), [replace(votes[0], choice="right"), *votes]) == 0
    assert read_votes(run) == votes
    assert "SRB011" not in rules(run)


def test_several_append_at_once_and_a_torn_line_is_cut_off(voted):
    run, votes = voted
    with (run / FILE).open("a") as file:
        file.write('{"key": "torn')
    folder = RunFolder.read(run)
    others = [[replace(vote, rater=f"{vote.rater} {n}") for vote in votes] for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda some: add_votes(folder, some), others)) == 120
    assert len(read_votes(run)) == 140


@pytest.mark.parametrize("change", ["edit", "remove", "swap"])
def test_a_changed_vote_is_contradicted_and_not_counted(voted, change):
    run, _ = voted
    assert rules(run) == set()
    lines = (run / FILE).read_text().splitlines()
    if change == "edit":
        lines[5] = lines[5].replace('"choice": "left"', '"choice": "right"')
    elif change == "remove":
        del lines[5]
    else:
        lines[5], lines[6] = lines[6], lines[5]
    (run / FILE).write_text("".join(f"{line}\n" for line in lines))
    assert rules(run) == {"SRB011"}
    with pytest.raises(VotingError, match="vote 6 was changed, or one before"):
        read_votes(run)
    with pytest.raises(VotingError, match="restore the file"):
        add_votes(RunFolder.read(run), [])


def test_votes_on_other_images_are_refused_and_nothing_is_written(voted):
    run, votes = voted
    other = replace(votes[0].question, left=Shown(votes[0].question.left.name, "0" * 64))
    before = (run / FILE).read_bytes()
    with pytest.raises(VotingError, match="is not the image of this run"):
        add_votes(RunFolder.read(run), [replace(votes[1], rater="new"), replace(votes[0], question=other)])
    assert (run / FILE).read_bytes() == before


def test_a_replaced_output_is_a_note_and_a_foreign_one_contradicts(voted):
    run, _ = voted
    lines = (run / "samples.jsonl").read_text().splitlines()
    facts = json.loads(lines[0])
    facts["outputs"][0]["pixels"] = "1" * 64
    (run / "samples.jsonl").write_text("".join(f"{line}\n" for line in [*lines, json.dumps(facts)]))
    assert "SRB211" in rules(run)
    assert "SRB012" not in rules(run)
    facts["key"] = "of another model"
    (run / "samples.jsonl").write_text("".join(f"{line}\n" for line in [json.dumps(facts), *lines[1:]]))
    assert "SRB012" in rules(run)


def test_a_replaced_hr_image_is_a_note(voted):
    """Obvious questions show HR."""
    run, votes = voted
    question = next(vote.question for vote in votes if vote.question.kind == "obvious")
    lines = (run / "pairs.jsonl").read_text().splitlines()
    facts = next(one for one in map(json.loads, lines) if one["image"] == question.image)
    facts["hr"]["pixels"] = "1" * 64
    (run / "pairs.jsonl").write_text("".join(f"{line}\n" for line in [*lines, json.dumps(facts)]))
    assert "SRB211" in rules(run)
    assert "SRB012" not in rules(run)


def test_a_question_shows_hr_only_where_it_is_obvious(voted):
    _, votes = voted
    question = next(vote.question for vote in votes if vote.question.kind == "vote")
    with pytest.raises(ValueError, match=r"hr against .* is not a question of kind 'vote'"):
        replace(question, left=Shown("hr", question.left.pixels))
    with pytest.raises(ValueError, match="is not a question of kind 'obvious'"):
        replace(question, kind="obvious")


def test_damaged_lines_and_names(voted):
    run, _ = voted
    assert rater_name("  Ann   Lee ") == "Ann Lee"
    for name in ("", " ", "x" * 61, "a\x00b"):
        with pytest.raises(VotingError, match="cannot be the name of a rater"):
            rater_name(name)
    with (run / FILE).open("a") as file:
        file.write('{"key": 3}\n')
    with pytest.raises(RunFolderError, match="line 21 is damaged"):
        read_votes(run)
    (run / FILE).unlink()
    (run / FILE).mkdir()
    with pytest.raises(VotingError, match="a folder, not a file of srbench"):
        read_votes(run)
