"""A poll: gives raters their next question and its images, and records answers."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from threading import Lock
from typing import Any, get_args

from PIL import Image

from srbench.files.hashes import sha256_bytes
from srbench.run_folder.manifest import now
from srbench.run_folder.records import append
from srbench.voting import VotingError
from srbench.voting.ballot import Candidates, ballot
from srbench.voting.records import LR, Choice, Question, Vote, prepare, read_votes
from srbench.words import printable

LONGEST_NAME = 60
"""Largest number of characters of a rater's name."""


class Poll:
    """The questions of all raters of a run. Threads may share it. Raises VotingError, as ``prepare`` does."""

    def __init__(self, candidates: Candidates, votes: int, seed: int) -> None:
        self._candidates = candidates
        self._path = candidates.run.path
        self._lock = Lock()
        self.ballot = cache(lambda rater: ballot(candidates, rater, votes, seed))
        """The questions of a rater, by name."""
        prepare(self._path)

    def next(self, rater: str) -> dict[str, Any]:
        """Return the first unanswered question of a rater for the page, without the names of the models.

        ``done`` is the number of answered questions, ``of`` the number of all questions. If all are answered, there is
        no ``id``.
        """
        rater = rater_name(rater)
        questions = self.ballot(rater)
        answered = self._answered(rater)
        unanswered = [question for question in questions if question not in answered]
        content = {"rater": rater, "done": len(questions) - len(unanswered), "of": len(questions)}
        if unanswered:
            _, _, width, height = unanswered[0].window
            content |= {"id": unanswered[0].id, "reference": unanswered[0].reference.name}
            content |= {"width": width, "height": height}
        return content

    def answer(self, rater: str, question_id: str, choice: str) -> None:
        """Record an answer, unless the question has been answered before.

        Raises VotingError for an unknown choice, and if the rater has no question with this id.
        """
        if choice not in get_args(Choice):
            raise VotingError(f"{choice!r} is not a choice; choose from {', '.join(get_args(Choice))}")
        rater = rater_name(rater)
        question = self._question(rater, question_id)
        with self._lock:
            if question not in self._answered(rater):
                append(self._path, [Vote(rater, now(), question, choice)])  # type: ignore[arg-type]  # checked above

    def image(self, rater: str, question_id: str, side: str) -> bytes:
        """Return the ``left``, ``right`` or ``reference`` image of a question as PNG.

        Raises VotingError for another side, and if the file was changed.
        """
        question = self._question(rater_name(rater), question_id)
        shown = {"left": question.left, "right": question.right, "reference": question.reference}.get(side)
        if shown is None:
            raise VotingError(f"{side!r} is not a side; choose from left, right, reference")
        path, digest = self._candidates.file(question.image, shown.name)
        content = path.read_bytes()
        if sha256_bytes(content) != digest.sha256:
            raise VotingError(f"{path}: does not match its record; run srbench vote again")
        scale = self._candidates.run.manifest.protocol.scale if shown.name == LR else 1
        x, y, width, height = (number // scale for number in question.window)
        png = BytesIO()
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            image.convert("RGB").crop((x, y, x + width, y + height)).save(png, "PNG", compress_level=1)
        return png.getvalue()

    def _question(self, rater: str, question_id: str) -> Question:
        for question in self.ballot(rater):
            if question.id == question_id:
                return question
        raise VotingError("the question does not belong to this rater and run; reload the page")

    def _answered(self, rater: str) -> set[Question]:
        return {vote.question for vote in read_votes(self._path) if vote.rater == rater}


def rater_name(text: str) -> str:
    """Normalise the name of a rater to one line with single spaces.

    Raises VotingError if it is empty, too long, or has control characters.
    """
    name = " ".join(text.split())
    if not name or len(name) > LONGEST_NAME or printable(name) != name:
        raise VotingError(f"{text[:80]!r} cannot be the name of a rater; give 1 to {LONGEST_NAME} printable characters")
    return name
