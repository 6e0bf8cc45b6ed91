"""Votes of a run: questions, answers, and ``votes.jsonl``, to which lines are appended.

Every line carries a key that covers the one before, so a vote that is changed, moved or taken out breaks the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from filelock import FileLock
from msgspec import Meta, Struct, to_builtins

from srbench.files.paths import no_file
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.records import JSONLine, append, digest, drop_torn_lines, read
from srbench.voting import VotingError
from srbench.words import is_file_name, printable

LONGEST_NAME = 60
"""Largest number of characters of a rater's name."""
HR, LR = "hr", "lr"
"""Names of the images of a pair; no setting has such a folder."""
Kind = Literal["vote", "repeat", "obvious"]
"""A question that counts, one that was asked before with its sides swapped, or HR against LR."""
Choice = Literal["left", "right", "neither"]
Pixel = Annotated[int, Meta(ge=0)]
_LOCK = ".votes.lock"
_WAIT = 30.0
"""Seconds to wait for another process that is writing votes."""


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """An image on one side of a question."""

    name: str
    """Folder of a setting, such as ``srflow-t0.8``; ``hr`` or ``lr`` in an obvious question."""
    pixels: str
    """sha256 of its size and its 8-bit RGB values, as in the records of the run."""


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """Two images side by side, and the reference that they are compared with."""

    kind: Kind
    image: str
    reference: Literal["hr", "lr"]
    window: tuple[Pixel, Pixel, Pixel, Pixel]
    """Part that was shown: x, y, width and height in HR pixels."""
    left: Shown
    right: Shown
    turn: Pixel = 0
    """Number of equal questions before this one in the ballot."""

    def __post_init__(self) -> None:
        if any((side.name in (HR, LR)) != (self.kind == "obvious") for side in self.sides):
            raise ValueError(f"{self.left.name} against {self.right.name} is not a question of kind {self.kind!r}")

    @property
    def id(self) -> str:
        """sha256 of the question."""
        return digest("question", to_builtins(self))

    @property
    def sides(self) -> tuple[Shown, Shown]:
        """The two images, left and right."""
        return self.left, self.right

    @property
    def swapped(self) -> tuple[str, Shown, Shown]:
        """Image and sides of the question whose repeat this is."""
        return self.image, self.right, self.left


class Vote(Struct, frozen=True, forbid_unknown_fields=True):
    """Answer of a rater to a question."""

    rater: str
    at: str
    """Time in UTC."""
    question: Question
    choice: Choice

    def __post_init__(self) -> None:
        if self.rater != rater_name(self.rater):
            raise ValueError(f"{self.rater!r} cannot be the name of a rater")
        datetime.fromisoformat(self.at)
        if not is_file_name(self.question.image):
            raise ValueError(f"{self.question.image!r} cannot be the name of an image")


class VoteRecord(JSONLine, frozen=True):
    """A line of ``votes.jsonl``."""

    FILE: ClassVar[str] = "votes.jsonl"

    key: str
    """sha256 of the key of the line before (empty for the first line) and of the vote."""
    vote: Vote

    @classmethod
    def after(cls, previous: str, vote: Vote) -> VoteRecord:
        """The line of a vote after the line with the key ``previous``."""
        return cls(digest("vote", previous, to_builtins(vote)), vote)


FILE = VoteRecord.FILE


def rater_name(text: str) -> str:
    """Name of a rater as it is recorded: one line without spaces around it.

    Raises VotingError if it is empty, too long, or has control characters.
    """
    name = " ".join(text.split())
    if not name or len(name) > LONGEST_NAME or printable(name) != name:
        raise VotingError(f"{text[:80]!r} cannot be the name of a rater; give 1 to {LONGEST_NAME} printable characters")
    return name


def read_votes(run: Path) -> list[Vote]:
    """All votes of a run in order; none if nobody has voted.

    Raises RunFolderError for a damaged line, VotingError if the chain of keys is broken.
    """
    lines = _lines(run)
    if broken := broken_chain(lines):
        raise VotingError(f"{run / FILE}: {broken}; restore the file")
    return [line.vote for line in lines]


def broken_chain(lines: Sequence[VoteRecord]) -> str:
    """Name the first line whose key does not follow from the lines before; empty if there is none."""
    previous = ""
    for number, line in enumerate(lines, 1):
        if line.key != VoteRecord.after(previous, line.vote).key:
            return f"vote {number} was changed, or one before it was changed or removed"
        previous = line.key
    return ""


def add_votes(run: RunFolder, votes: Iterable[Vote]) -> int:
    """Append votes to a run and wait until they are on the disk; returns how many were new.

    A question that its rater has answered keeps the first answer. Nothing is written unless every vote is on images of
    the run. Several processes may append at once. Raises VotingError for a vote on other images, and if the file cannot
    be written.
    """
    votes = list(votes)
    for vote in votes:
        if fault := foreign(run, vote.question):
            raise VotingError(f"a vote of {vote.rater} is refused: {fault}")
    with _writing(run.path):
        lines = _lines(run.path)
        if broken := broken_chain(lines):
            raise VotingError(f"{run.path / FILE}: {broken}; restore the file before others vote")
        answered = {(line.vote.rater, line.vote.question.id) for line in lines}
        previous, new = lines[-1].key if lines else "", []
        for vote in votes:
            if (vote.rater, vote.question.id) not in answered:
                answered.add((vote.rater, vote.question.id))
                new.append(VoteRecord.after(previous, vote))
                previous = new[-1].key
        if new:
            drop_torn_lines(run.path, [VoteRecord])
            append(run.path, new)
    return len(new)


def pixels_of(run: RunFolder, image: str, name: str) -> str | None:
    """sha256 of the pixels of a kept image by its name in questions; None if the run has none, or did not keep it.

    Of a model that samples, the first sample is shown.
    """
    if name in (HR, LR):
        pair = run.of(image).pair
        found = None if pair is None or pair.failed else pair.hr if name == HR else pair.lr
    else:
        setting = next((one for one in run.manifest.settings if one.folder == name), None)
        record = None if setting is None else run.sample(setting, image)
        found = None if record is None or record.failed else record.outputs[0]
    return None if found is None or found.sha256 is None else found.pixels


def foreign(run: RunFolder, question: Question) -> str:
    """Name the image of a question that is not an image of the run; empty if all are."""
    for side in question.sides:
        if pixels_of(run, question.image, side.name) != side.pixels:
            return f"{side.name} of {question.image} is not the image of this run; vote on the run that was exported"
    return ""


def _lines(run: Path) -> list[VoteRecord]:
    path = run / FILE
    if fault := "a link" if path.is_symlink() else no_file(path):
        raise VotingError(f"{path}: {fault}, not a file of srbench; remove it")
    return list(read(run, VoteRecord))


@contextmanager
def _writing(run: Path) -> Iterator[None]:
    try:
        with FileLock(run / _LOCK, timeout=_WAIT):
            yield
    except TimeoutError:
        raise VotingError(f"{run}: others have been writing votes for more than {_WAIT:.0f} s; try again") from None
    except (OSError, NotImplementedError) as error:
        raise VotingError(f"{run}: votes cannot be written ({error}); check disk and permissions") from None
