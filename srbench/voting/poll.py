"""A poll: which question a rater is asked next, the images of a question, and answers, for the page and its server."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from functools import lru_cache, partial
from threading import Lock
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srbench.images.io import png_of
from srbench.images.strict_decoding import FAULTS, FORMATS
from srbench.run_folder.manifest import now
from srbench.voting import VotingError
from srbench.voting.ballot import Candidates, ballot
from srbench.voting.records import FILE, LR, Choice, Question, Vote, add_votes, pixels_of, rater_name, read_votes

Side = Literal["left", "right", "reference"]
SIDES: tuple[Side, ...] = get_args(Side)
_KEPT = 200
"""Largest number of ballots that are kept in memory; others are made again."""


class Poll:
    """The questions of all raters of a run. Threads may share it."""

    def __init__(self, candidates: Candidates, votes: int, seed: int) -> None:
        self._candidates = candidates
        self._ballot = lru_cache(_KEPT)(partial(ballot, candidates, votes=votes, seed=seed))
        self._answered: defaultdict[str, set[str]] = defaultdict(set)
        self._size = -1
        """Size of the file of votes when it was read; others may append."""
        self._lock = Lock()

    def next(self, rater: str) -> dict[str, Any]:
        """The first question of a rater that has no answer, for the page: its place, id, size and reference.

        ``done`` is the number of questions with an answer, ``of`` that of all; without an open question there is no
        ``id``.
        """
        rater = rater_name(rater)
        questions = self._ballot(rater)
        with self._lock:
            self._read()
            open_ones = [one for one in questions if one.id not in self._answered.get(rater, ())]
        facts: dict[str, Any] = {"done": len(questions) - len(open_ones), "of": len(questions), "rater": rater}
        if open_ones:
            facts |= page_facts(open_ones[0])
        return facts

    def answer(self, rater: str, question: str, choice: str) -> None:
        """Record an answer; the first one to a question counts. Raises VotingError for what the page cannot ask."""
        if choice not in get_args(Choice):
            raise VotingError(f"{choice!r} is not a choice; choose from {', '.join(get_args(Choice))}")
        rater = rater_name(rater)
        vote = Vote(rater, now(), self._question(rater, question), choice)  # type: ignore[arg-type]  # checked above
        with self._lock:
            add_votes(self._candidates.run, [vote])

    def image(self, rater: str, question: str, side: str) -> bytes:
        """PNG of a side of a question, or of its reference. Raises VotingError if there is none, or it was changed."""
        if side not in SIDES:
            raise VotingError(f"{side!r} is not a side; choose from {', '.join(SIDES)}")
        return png_of(window_of(self._candidates, self._question(rater_name(rater), question), side))

    def _question(self, rater: str, question: str) -> Question:
        found = next((one for one in self._ballot(rater) if one.id == question), None)
        if found is None:
            raise VotingError("the question does not belong to this rater and run; reload the page")
        return found

    def _read(self) -> None:
        path = self._candidates.run.path / FILE
        size = path.stat().st_size if path.exists() else 0
        if size != self._size:
            self._answered.clear()
            for vote in read_votes(self._candidates.run.path):
                self._answered[vote.rater].add(vote.question.id)
            self._size = size


def page_facts(question: Question) -> dict[str, Any]:
    """Facts of a question that the page shows, which do not tell whose images they are."""
    _, _, width, height = question.window
    return {"id": question.id, "reference": question.reference, "width": width, "height": height}


def window_of(candidates: Candidates, question: Question, side: Side) -> NDArray[np.uint8]:
    """The window of a question in an image, (h, w, 3); of LR in LR pixels. Raises VotingError if the file differs."""
    shown = {"left": question.left.name, "right": question.right.name, "reference": question.reference}
    name = shown[side]
    digest = pixels_of(candidates.run, question.image, name)
    path = candidates.file(question.image, name)
    try:
        with Image.open(path, formats=FORMATS) as image:
            pixels = np.asarray(image.convert("RGB"))
    except FAULTS as error:
        raise VotingError(f"{path}: cannot be read ({error}); run the command of the run again") from None
    if hashlib.sha256(repr(pixels.shape[:2]).encode() + pixels.tobytes()).hexdigest() != digest:
        raise VotingError(f"{path}: does not match its record; run the command of the run again")
    scale = candidates.run.manifest.protocol.scale if name == LR else 1
    x, y, width, height = (number // scale for number in question.window)
    return pixels[y : y + height, x : x + width]
