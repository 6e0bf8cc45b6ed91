"""Votes on the images of a run: ``votes.jsonl`` in the run folder, one line per answer.

Lines of several raters, or from several copies of a run, are merged by appending one file to the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from msgspec import Struct, to_builtins

from srbench.run_folder.folder import RunFolder
from srbench.run_folder.records import ImageDigest, JSONLine, digest, read

HR, LR = "hr", "lr"
"""Names of the images of a pair; no setting has such a folder."""
Choice = Literal["left", "right", "neither"]
"""The preferred side; ``neither`` is "cannot tell"."""


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """An image that was shown."""

    name: str
    """Folder of a setting, such as ``srflow-t0.8``; of the reference, ``hr`` or ``lr``."""
    pixels: str
    """SHA-256 of its size and its 8-bit RGB values, as in the records of the run."""


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """Two outputs for the same image, side by side with a reference."""

    image: str
    window: tuple[int, int, int, int]
    """Part that was shown: x, y, width and height in HR pixels."""
    reference: Shown
    left: Shown
    right: Shown

    def __post_init__(self) -> None:
        sides = {self.left.name, self.right.name}
        if self.reference.name not in (HR, LR) or len(sides - {HR, LR}) < 2:
            raise ValueError(f"{' against '.join(sorted(sides))} beside {self.reference.name} is not a question")

    @property
    def id(self) -> str:
        """SHA-256 of the question."""
        return digest("question", to_builtins(self))


class Vote(JSONLine, frozen=True):
    """Answer of a rater to a question: a line of ``votes.jsonl``."""

    FILE: ClassVar[str] = "votes.jsonl"

    rater: str
    time: str
    """Time of the answer in UTC."""
    question: Question
    choice: Choice


def read_votes(run: Path) -> list[Vote]:
    """All votes of a run in order; of several answers of a rater to one question, the first. Empty without a file.

    A last line that was torn by a kill is left out. Raises RunFolderError for any other damaged line.
    """
    votes: dict[tuple[str, Question], Vote] = {}
    for vote in read(run, Vote):
        votes.setdefault((vote.rater, vote.question), vote)
    return list(votes.values())


def image_file(run: RunFolder, image: str, name: str) -> tuple[Path, ImageDigest] | None:
    """Path and digest of an image of a run by its name in questions; None if the run has no such image.

    For a model that samples, it is the first sample, which is the one shown.
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
    """True if all images that were shown are still the images of the run."""
    for shown in (question.reference, question.left, question.right):
        found = image_file(run, question.image, shown.name)
        if found is None or found[1].pixels != shown.pixels:
            return False
    return True
