"""Files of votes from raters: joined once, and refused whole in one line if the page has not written them."""

from __future__ import annotations

import errno
import json
import os
import re

import pytest

from srbench.images.io import write_png
from srbench.run_folder.journal import writing
from srbench.voting.records import Vote, read_votes
from srbench.voting.study import open_study


def lines(answers):
    return "".join(json.dumps(answer, separators=(",", ":"), ensure_ascii=False) + "\n" for answer in answers).encode()


def changed(**changes):
    """The file with changes of its second line."""
    return lambda sent: lines([sent[0], sent[1] | changes, *sent[2:]])


def borrowed(field):
    """The file with the image of another question in its first line."""

    def make(sent):
        other = next(answer for answer in sent if answer["reference"] != sent[0]["reference"])
        return lines([sent[0] | {field: other[field]}, *sent[1:]])

    return make


EDITED = "line 2: not as the page writes it"
FOREIGN = "line 2: not a question about the images that the run has now"
HOSTILE = "<img src=x onerror=alert(1)>"
BAD = {
    "empty": (lambda _: b"", "no votes in it"),
    "a line feed": (lambda _: b"\n", "line 1: "),
    "an empty line": (lambda sent: lines(sent) + b"\n", "line 7: "),
    "zeros": (lambda _: bytes(1000), "line 1: "),
    "half a line": (lambda sent: lines(sent)[:-40], "line 6: "),
    "the middle lost": (lambda sent: lines(sent)[:100] + lines(sent)[300:], "line 1: "),
    "not UTF-8": (lambda sent: lines(sent).replace(b"left", b"l\xffft", 1), "line 1: "),
    "UTF-16": (lambda sent: lines(sent).decode().encode("utf-16"), "line 1: "),
    "a byte order mark": (lambda sent: b"\xef\xbb\xbf" + lines(sent), "line 1: "),
    "a page": (lambda _: b"<!doctype html>\n<script>alert(1)</script>\n", "line 1: "),
    "an image": (lambda _: b"\x89PNG\r\n\x1a\n", "line 1: "),
    "an array": (lambda sent: json.dumps(sent).encode(), "line 1: "),
    "a number": (lambda _: b"1\n", "line 1: "),
    "nested": (lambda _: b"[" * 100_000, "line 1: "),
    "nested in a field": (lambda _: b'{"study":' + b"[" * 100_000, "line 1: "),
    "too large": (lambda sent: lines(sent) * 2000, "larger than 1000000 bytes, so not a file of votes"),
    "records of a run": (lambda _: b'{"key": "a", "facts": {}}\n', "line 1: "),
    "the votes of a run": (
        lambda _: b'{"rater": "ann", "time": "2026-01-01T00:00:00+00:00", "question": {}, "choice": "left"}\n',
        "line 1: ",
    ),
    "another study": (changed(study="0" * 16), "line 2: a vote of another study"),
    "an unknown output": (changed(left="0" * 16), FOREIGN),
    "an unknown reference": (changed(reference="0" * 16), FOREIGN),
    "a path": (changed(left="../../study.key"), FOREIGN),
    "the name of a model": (changed(left="best"), FOREIGN),
    "markup as an image": (changed(right=HOSTILE), FOREIGN),
    "one output twice": (lambda sent: changed(left=sent[1]["right"])(sent), FOREIGN),
    "the reference as output": (lambda sent: changed(left=sent[1]["reference"])(sent), FOREIGN),
    "an output as reference": (lambda sent: changed(reference=sent[1]["left"])(sent), FOREIGN),
    "output of another image": (borrowed("left"), FOREIGN.replace("2", "1")),
    "reference of another image": (borrowed("reference"), FOREIGN.replace("2", "1")),
    "markup as rater": (changed(rater=HOSTILE), "line 2: "),
    "a name as rater": (changed(rater="Ann"), "line 2: "),
    "a long rater": (changed(rater="0" * 17), "line 2: "),
    "a rater with a line feed": (changed(rater="0" * 16 + "\n"), "line 2: "),
    "control characters": (changed(rater="\x1b[2J"), "line 2: "),
    "another choice": (changed(choice="both"), "line 2: "),
    "no choice": (changed(choice=None), "line 2: "),
    "a list of choices": (changed(choice=["left"]), "line 2: "),
    "a number as time": (changed(time=0), "line 2: "),
    "no such day": (changed(time="2026-02-30T00:00:00.000Z"), "line 2: "),
    "local time": (changed(time="2026-01-01T00:00:00.000+01:00"), "line 2: "),
    "another field": (changed(name="Ann"), "line 2: "),
    "a long field": (changed(**{HOSTILE * 10_000: 1}), "line 2: "),
    "a field missing": (lambda sent: lines([{"study": sent[0]["study"]}]), "line 1: "),
    "a field twice": (
        lambda sent: lines(sent).replace(b'"choice"', b'"choice":"right","choice"', 6),
        "line 1: not as ",
    ),
    "spaces": (lambda sent: lines(sent[:1]) + json.dumps(sent[1]).encode(), EDITED),
    "fields in another order": (lambda sent: lines([sent[0], dict(reversed(sent[1].items()))]), EDITED),
    "escapes": (lambda sent: lines(sent[:2]).replace(b'"left"}\n', b'"l\\u0065ft"}\n'), "line 1: not as "),
    "an answer twice": (lambda sent: lines([sent[0], sent[0]]), "line 2: a second answer to a question"),
    "two answers": (lambda sent: lines([sent[0], sent[0] | {"choice": "right"}]), "line 2: a second answer"),
    "two answers with sides exchanged": (
        lambda sent: lines([sent[0], sent[0] | {"left": sent[0]["right"], "right": sent[0]["left"]}]),
        "line 2: a second answer to a question",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_the_page_has_not_written_is_refused_in_one_line(case, run, sent, command, tmp_path):
    make, words = BAD[case]
    bad, fine = tmp_path / "votes-<b>.jsonl", tmp_path / "votes-fine.jsonl"
    bad.write_bytes(make(sent))
    fine.write_bytes(lines(answer | {"rater": "1" * 16} for answer in sent))
    left = command("vote", run, "--add", bad, fine)
    assert (left.code, left.out) == (1, f"{fine}: 6 votes added\n")
    [line] = left.err.splitlines()
    assert line.startswith(f"{bad}: {words}")
    assert line.endswith("; nothing of it is added")
    assert len(line) < 400
    assert line.isprintable()
    assert {vote.rater for vote in read_votes(run)} == {"1" * 16}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: None, "cannot be read (No such file"),
        (lambda file: file.mkdir(), "a folder, not a file of votes"),
        (os.mkfifo, "a pipe, a socket or a device, not a file of votes"),
        (lambda file: file.symlink_to("absent"), "a link that leads nowhere, not a file of votes"),
    ],
)
def test_what_is_no_file_is_refused(make, words, run, sent, command, tmp_path):
    file = tmp_path / "votes-0.jsonl"
    make(file)
    left = command("vote", run, "--add", file)
    assert (left.code, left.out, left.err.count("\n")) == (1, "", 1)
    assert left.err.startswith(f"{file}: {words}")
    assert not (run / Vote.FILE).exists()


def test_votes_are_joined_once(run, sent, command, tmp_path, add_votes):
    before = add_votes(run, 2, votes=3)
    file = tmp_path / "votes-a.jsonl"

    def add(content):
        file.write_bytes(content)
        return command("vote", run, "--add", file).out.removeprefix(f"{file}: ")

    assert add(lines(sent[:2])) == "2 votes added\n"
    assert add(lines(sent).replace(b"\n", b"\r\n")) == "4 votes added, 2 are in the run already\n"
    written = (run / Vote.FILE).read_bytes()
    assert add(lines(sent)) == "0 votes added, 6 are in the run already\n"
    assert (run / Vote.FILE).read_bytes() == written
    votes, study = read_votes(run), open_study(run)
    assert votes[:6] == before
    asked = [study.question((answer["reference"], answer["left"], answer["right"])) for answer in sent]
    assert votes[6:] == [Vote("00ff" * 4, "2026-01-01T00:00:00+00:00", question, "left") for question in asked]
    other = [answer | {"choice": "right"} for answer in sent]
    assert command("vote", run, "--add", file).code == 0
    file.write_bytes(lines(other))
    left = command("vote", run, "--add", file)
    assert left.code == 1
    assert "line 1: the run has another answer of this rater to this question; nothing of it is added" in left.err
    assert (run / Vote.FILE).read_bytes() == written


@pytest.mark.parametrize("name", ["left", "right", "reference"])
@pytest.mark.parametrize("change", ["file", "record", "none"])
def test_votes_on_images_that_changed_are_refused(name, change, run, sent, command, tmp_path, draw_image):
    part = open_study(run).parts[sent[0][name]]
    if change == "file":
        write_png(part.file, draw_image(0, 24, 24))
    elif change == "none":
        part.file.unlink()
    else:
        records = run / ("pairs.jsonl" if name == "reference" else "samples.jsonl")
        records.write_text(records.read_text().replace(part.shown.pixels, "0" * 64))
    file = tmp_path / "votes-a.jsonl"
    file.write_bytes(lines(sent[:1]))
    left = command("vote", run, "--add", file)
    assert (left.code, left.out) == (1, "")
    assert "line 1: not a question about the images that the run has now" in left.err
    assert not (run / Vote.FILE).exists()


def test_damaged_votes_of_the_run_are_not_extended(run, sent, command, tmp_path):
    file = tmp_path / "votes-a.jsonl"
    file.write_bytes(lines(sent))
    for content, words in ((b"{}\n", "line 1 is damaged"), (b'{"rater": "torn', "its last line has no end")):
        (run / Vote.FILE).write_bytes(content)
        left = command("vote", run, "--add", file)
        assert left.code == 1
        assert words in left.err
        assert (run / Vote.FILE).read_bytes() == content


def test_a_run_that_cannot_be_written_or_is_being_written_takes_no_votes(run, sent, command, tmp_path, monkeypatch):
    file = tmp_path / "votes-a.jsonl"
    file.write_bytes(lines(sent))
    with writing(run):
        left = command("vote", run, "--add", file)
    assert left.code == 1
    assert "another srbench process is writing" in left.err

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("srbench.run_folder.journal.FileLock.acquire", refuse)
    for arguments in (["--add", file], ["--out", tmp_path / "study"]):
        left = command("vote", run, *arguments)
        assert (left.code, left.out) == (1, "")
        assert "run: cannot be written (Read-only file system); choose another --out, or copy the run" in left.err
        (run / "study.key").unlink(missing_ok=True)  # so that a page needs a new one
    assert not (run / Vote.FILE).exists()
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("arguments", ["--add", "votes-a.jsonl", "--tally votes-a.jsonl"])
def test_files_and_add_go_together(run, command, arguments):
    left = command("vote", run, *arguments.split())
    assert left.code == 2
    assert re.search(r"--add takes the files that raters have saved: srbench vote RUN --add FILE", left.err)
