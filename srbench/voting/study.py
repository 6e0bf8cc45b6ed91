"""Studies: blind questions about the images of a run. Only a key in the run tells which image is of which model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from secrets import token_hex
from typing import Literal, NamedTuple

import numpy as np
from msgspec import to_builtins
from PIL import Image

from srbench.files.atomic import write_synced
from srbench.run_folder.folder import STUDY_KEY, RunFolder, is_kept
from srbench.run_folder.journal import writing
from srbench.run_folder.records import digest
from srbench.voting import VotingError
from srbench.voting.records import HR, LR, Question, Shown, image_file
from srbench.words import unknown

LARGEST_WINDOW = 512
"""Largest side of the window that raters see, in HR pixels; smaller images are shown whole."""


class Part(NamedTuple):
    """What raters see of an image."""

    file: Path
    image: str
    window: tuple[int, int, int, int]
    shown: Shown


Asked = tuple[str, str, str]
"""Names of reference, left and right image of a question, as the page has them."""


@dataclass(frozen=True)
class Study:
    """The images that raters may be asked about: those that are saved and unchanged."""

    run: RunFolder
    key: str
    parts: dict[str, Part]
    """Images by the names that they have on the page, which without the key tell neither image nor model."""

    @property
    def id(self) -> str:
        """Name of the study on its page and in files of votes."""
        return digest("study", self.key)[:16]

    def question(self, asked: Asked) -> Question:
        """Return a question by the names of its images. Raises VotingError if it is none of this study."""
        try:
            reference, left, right = (self.parts[name] for name in asked)
            question = Question(reference.image, reference.window, *(part.shown for part in (reference, left, right)))
        except (KeyError, ValueError):
            question = None
        if question is None or {left.image, right.image} != {question.image} or left.shown.pixels == right.shown.pixels:
            raise VotingError("not a question about the images that the run has now")
        return question


def open_study(path: Path, *, begin: bool = False) -> Study:
    """Read a run with the key of its study, which is made if it is missing and the study is to ``begin``.

    Raises VotingError if the key is missing or damaged, RunFolderError if there is no run or it cannot be written.
    """
    run, file = RunFolder.read(path), path / STUDY_KEY
    if begin and not file.exists():
        with writing(path):
            write_synced(file, f"{token_hex(16)}\n".encode())
    if not file.exists():
        raise VotingError(f"{path}: nobody has been asked yet; write a page for raters with srbench vote {path}")
    key = file.read_bytes().decode(errors="replace").strip()
    if not re.fullmatch("[0-9a-f]{32}", key):
        raise VotingError(f"{file}: damaged; restore it, or move it away and send raters a new page")
    parts = {digest("image", key, *to_builtins(part[1:]))[:16]: part for part in _parts(run, key)}
    return Study(run, key, parts)


def _parts(run: RunFolder, key: str) -> Iterator[Part]:
    scale = run.manifest.protocol.scale
    for image in run.manifest.images:
        names = (*(setting.folder for setting in run.manifest.settings), HR, LR)
        files = {name: file for name in names if (file := image_file(run, image, name)) and is_kept(*file)}
        if not files:
            continue
        name, (first, _) = next(iter(files.items()))
        with Image.open(first, formats=["PNG"]) as opened:
            sides = [side if name == LR else side // scale for side in opened.size]
        # the whole image, or a random part of a large image, aligned to LR pixels
        random = np.random.default_rng(int(digest("window", key, image), 16))
        width, height = (min(side, LARGEST_WINDOW // scale) for side in sides)
        x, y = (int(random.integers(side - part + 1)) for side, part in zip(sides, (width, height), strict=True))
        window = x * scale, y * scale, width * scale, height * scale
        yield from (Part(file, image, window, Shown(name, digest.pixels)) for name, (file, digest) in files.items())


def turns(study: Study, models: Sequence[str] = (), reference: Literal["hr", "lr"] | None = None) -> list[list[Asked]]:
    """Return all questions in turns: each has one question for every pair of models, in random order.

    A pair is asked about another image in every turn. Pairs of equal outputs are left out. Equal arguments give equal
    turns. ``models`` are labels, which mean all temperatures of a model, or settings such as ``srflow-t0.8``; by
    default all settings. The default reference is HR, or LR in a run without HR.

    Raises VotingError if there are fewer than two settings, no image is saved for all of them, all their outputs are
    equal, or HR is requested and missing.
    """
    run, settings = study.run, study.run.manifest.settings
    available = {name for setting in settings for name in (setting.folder, setting.model)}
    if missing := [name for name in models if name not in available]:
        raise VotingError(unknown("model", missing[0], available))
    folders = [setting.folder for setting in settings if not models or {setting.folder, setting.model} & set(models)]
    if len(folders) < 2:
        raise VotingError(f"{run.path}: votes need at least two models, not {len(folders)}; name more with --models")
    if reference == HR and not run.has_hr:
        raise VotingError(f"{run.path}: has no HR images; use --reference lr")
    reference = reference or ("hr" if run.has_hr else "lr")
    asked = {(part.image, part.shown.name): name for name, part in study.parts.items()}
    needed = [reference, *folders]
    images = [image for image in run.manifest.images if all((image, name) in asked for name in needed)]
    if not images:
        raise VotingError(f"{run.path}: no image has unchanged files of {', '.join(needed)}; run its command again")
    random = np.random.default_rng(int(study.key, 16))
    pairs = list(combinations(folders, 2))
    orders = [random.permutation(images).tolist() for _ in pairs]
    questions: list[list[Asked]] = []
    for turn in range(len(images)):
        questions.append([])
        for index in random.permutation(len(pairs)):
            image = orders[index][turn]
            left, right = (asked[image, name] for name in random.permutation(pairs[index]).tolist())
            if study.parts[left].shown.pixels != study.parts[right].shown.pixels:
                questions[-1].append((asked[image, reference], left, right))
    if not any(questions):
        raise VotingError(f"{run.path}: the outputs of these models are equal on all images")
    return questions
