"""The records of votes: ``votes.jsonl`` in the run folder, one line per answer.

Votes from several copies of a run are merged by concatenating their files.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from msgspec import Struct

from srbench.run_folder.folder import VOTES, RunFolder
from srbench.run_folder.records import ImageDigest, JSONLine, read

HR, LR = "hr", "lr"
"""Names of LR and HR in questions; no setting may have these names."""
Choice = Literal["left", "right", "neither"]
"""The preferred side; ``neither`` is "cannot tell"."""


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """An image of a question."""

    name: str
    """Setting of an output, such as ``srflow-t0.8``, or ``hr`` or ``lr`` for the reference."""
    pixels: str
    """SHA-256 of its size and its 8-bit RGB values, as in the records of the run."""


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """Two outputs for the same image, side by side with a reference."""

    image: str
    window: tuple[int, int, int, int]
    """The part shown: x, y, width and height in HR pixels."""
    reference: Shown
    left: Shown
    right: Shown

    def __post_init__(self) -> None:
        sides = {self.left.name, self.right.name}
        if self.reference.name not in (HR, LR) or len(sides - {HR, LR}) < 2:
            raise ValueError(f"{' against '.join(sorted(sides))} beside {self.reference.name} is not a question")


class Vote(JSONLine, frozen=True):
    """The answer of a rater to a question: a line of ``votes.jsonl``."""

    FILE: ClassVar[str] = VOTES

    rater: str
    time: str
    """Time of the answer in UTC."""
    question: Question
    choice: Choice


def read_votes(run: Path) -> list[Vote]:
    """Return the votes of a run in order, with only the first answer of a rater to a question.

    A last line torn by a kill is skipped. Raises RunFolderError for any other damaged line.
    """
    votes: dict[tuple[str, Question], Vote] = {}
    for vote in read(run, Vote):
        votes.setdefault((vote.rater, vote.question), vote)
    return list(votes.values())


def image_file(run: RunFolder, image: str, name: str) -> tuple[Path, ImageDigest] | None:
    """Return path and digest of an image, by its name in questions; None if the run has no such image.

    Of a model that samples, raters see the first sample.
    """
    if name in (HR, LR):
        pair = run.of(image).pair
        lr_file, hr_file = run.pair_files(image)
        file = hr_file if name == HR else lr_file
        digest = None if pair is None else pair.hr if name == HR else pair.lr
        return None if digest is None else (file, digest)
    setting = next((setting for setting in run.manifest.settings if setting.folder == name), None)
    sample = None if setting is None else run.sample(setting, image)
    return None if sample is None or sample.failed else (run.output_files(sample, 1)[0], sample.outputs[0])


def is_current(run: RunFolder, question: Question) -> bool:
    """Return whether the run still has all images of a question."""
    for image in (question.reference, question.left, question.right):
        file = image_file(run, question.image, image.name)
        if file is None or file[1].pixels != image.pixels:
            return False
    return True
