"""Files of votes that raters send back, checked and joined to the votes of the run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from msgspec import Meta, MsgspecError, Struct, json

from srbench.files.atomic import write_synced
from srbench.files.paths import no_file
from srbench.run_folder.folder import VOTES
from srbench.run_folder.journal import writing
from srbench.run_folder.records import to_line
from srbench.voting import VotingError
from srbench.voting.records import Choice, Question, Vote, read_votes
from srbench.voting.study import Study
from srbench.words import number_of, one_line

LARGEST_FILE = 1_000_000
"""Largest size of a file of votes in bytes; a vote has about 250."""


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the file that the page saves."""

    study: str
    rater: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    """Random id."""
    time: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")]
    reference: str
    left: str
    right: str
    choice: Choice


def join(study: Study, files: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Add files to the votes of the run, each as a whole or not at all; votes that the run has are not added again.

    Returns a line for each file that was joined, and one for each that was refused. Raises VotingError or
    RunFolderError if the votes of the run are damaged, and RunFolderError if another process is writing.
    """
    run, joined, refused = study.run.path, [], []
    with writing(run):
        path = run / VOTES
        content = path.read_bytes() if path.exists() else b""
        if not content.endswith(b"\n") and content:
            raise VotingError(f"{path}: its last line has no end; complete it with a line feed, or delete it")
        votes = {_place(vote): vote for vote in reversed(read_votes(run))}
        before = len(votes)
        for file in files:
            try:
                sent = _votes(study, file)
                for number, (place, vote) in enumerate(sent.items(), 1):
                    if votes.get(place, vote) != vote:
                        raise VotingError(f"line {number}: the run has another answer of this rater to this question")
            except VotingError as error:
                refused.append(f"{file}: {error}; nothing of it is added")
                continue
            new = len(sent.keys() - votes.keys())
            votes |= sent
            known = f", {len(sent) - new} are in the run already" if new < len(sent) else ""
            joined.append(f"{file}: {number_of(new, 'vote')} added{known}")
        if len(votes) > before:
            lines = [to_line(vote) + "\n" for vote in list(votes.values())[before:]]
            write_synced(path, content + "".join(lines).encode())
    return joined, refused


def _place(vote: Vote) -> tuple[str, Question]:
    """Return rater and question, without its sides."""
    asked = vote.question
    left, right = sorted((asked.left, asked.right), key=lambda shown: shown.name)
    return vote.rater, Question(asked.image, asked.window, asked.reference, left, right)


def _votes(study: Study, file: Path) -> dict[tuple[str, Question], Vote]:
    """Read a file of votes. Raises VotingError for anything that the page of this study has not written."""
    try:
        if kind := no_file(file):
            raise VotingError(f"{kind}, not a file of votes")
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise VotingError(f"cannot be read ({error.strerror})") from None
    if len(content) > LARGEST_FILE:
        raise VotingError(f"larger than {LARGEST_FILE} bytes, so not a file of votes")
    votes: dict[tuple[str, Question], Vote] = {}
    for number, line in enumerate(content.splitlines(), 1):
        try:
            answer = json.decode(line, type=Answer)
            if json.encode(answer) != line:
                raise VotingError("not as the page writes it")
            if answer.study != study.id:
                raise VotingError("a vote of another study")
            question = study.question((answer.reference, answer.left, answer.right))
            time = datetime.fromisoformat(answer.time).isoformat(timespec="seconds")
            vote = Vote(answer.rater, time, question, answer.choice)
            if _place(vote) in votes:
                raise VotingError("a second answer to a question")
            votes[_place(vote)] = vote
        except (VotingError, MsgspecError, ValueError, RecursionError) as error:
            raise VotingError(f"line {number}: {one_line(error)[:200]}") from None
    if not votes:
        raise VotingError("no votes in it")
    return votes
