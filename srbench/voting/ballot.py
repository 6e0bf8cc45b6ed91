"""Ballots: the questions of a rater. The rater's name and a seed determine their order and sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from srbench.run_folder.folder import RunFolder, is_kept
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import ImageDigest
from srbench.voting import VotingError
from srbench.voting.records import HR, Question, Shown, image_file
from srbench.words import unknown

LARGEST_WINDOW = 512
"""Largest side of the window that raters see, in HR pixels; smaller images are shown whole."""


@dataclass(frozen=True)
class Candidates:
    """Images to vote on: outputs of two or more settings for the same images."""

    run: RunFolder
    settings: tuple[Setting, ...]
    reference: Literal["hr", "lr"]
    images: tuple[str, ...]
    """Names of images whose reference and outputs of all settings are saved and unchanged."""

    def file(self, image: str, name: str) -> tuple[Path, ImageDigest]:
        """Return path and digest of an image, by its name in questions."""
        file = image_file(self.run, image, name)
        assert file is not None
        return file

    def shown(self, image: str, name: str) -> Shown:
        """Return name and pixel digest of an image, as questions state them."""
        return Shown(name, self.file(image, name)[1].pixels)


def open_candidates(path: Path, models: Sequence[str] = (), reference: Literal["hr", "lr"] | None = None) -> Candidates:
    """Read a run for a vote on its images.

    ``models`` are labels, which mean all temperatures of a model, or settings such as ``srflow-t0.8``; by default all
    settings. The default reference is HR, or LR in a run without HR. Raises VotingError if there are fewer than two
    settings, no image is saved for all of them, or HR is requested and missing; RunFolderError if there is no run.
    """
    run = RunFolder.read(path)
    settings = run.manifest.settings
    available = {name for setting in settings for name in (setting.folder, setting.model)}
    if missing := [name for name in models if name not in available]:
        raise VotingError(unknown("model", missing[0], available))
    if models:
        settings = tuple(setting for setting in settings if {setting.folder, setting.model} & set(models))
    if len(settings) < 2:
        raise VotingError(f"{path}: votes need at least two models, not {len(settings)}; name more with --models")
    if reference == HR and not run.has_hr:
        raise VotingError(f"{path}: has no HR images; use --reference lr")
    reference = reference or ("hr" if run.has_hr else "lr")
    names = [reference, *(setting.folder for setting in settings)]
    images = tuple(image for image in run.manifest.images if all(_is_saved(run, image, name) for name in names))
    if not images:
        raise VotingError(f"{path}: no image has unchanged files of {', '.join(names)}; run its command again")
    return Candidates(run, settings, reference, images)


def ballot(candidates: Candidates, rater: str, votes: int, seed: int) -> list[Question]:
    """Return the first ``votes`` questions of a rater, or all if there are fewer.

    Every pair of models is compared equally often, as far as possible, each time on a different image. Pairs of equal
    outputs are left out. The same arguments give the same ballot. Raises VotingError if all outputs are equal.
    """
    questions = list(islice(_questions(candidates, np.random.default_rng([seed, *rater.encode()])), votes))
    if not questions:
        raise VotingError(f"{candidates.run.path}: the outputs of these models are equal on all images")
    return questions


def _questions(candidates: Candidates, random: np.random.Generator) -> Iterator[Question]:
    pairs = list(combinations((setting.folder for setting in candidates.settings), 2))
    orders = [random.permutation(candidates.images).tolist() for _ in pairs]
    for turn in range(len(candidates.images)):
        for index in random.permutation(len(pairs)):
            image = orders[index][turn]
            left, right = (candidates.shown(image, name) for name in random.permutation(pairs[index]).tolist())
            if left.pixels != right.pixels:
                reference = candidates.shown(image, candidates.reference)
                yield Question(image, _window(candidates, image, random), reference, left, right)


def _window(candidates: Candidates, image: str, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Choose the window to show: the whole image, or a random part of a large image, aligned to LR pixels."""
    scale = candidates.run.manifest.protocol.scale
    file, _ = candidates.file(image, candidates.settings[0].folder)
    with Image.open(file, formats=["PNG"]) as opened:
        sides = [side // scale for side in opened.size]
    width, height = (min(side, LARGEST_WINDOW // scale) for side in sides)
    x, y = (int(random.integers(side - part + 1)) for side, part in zip(sides, (width, height), strict=True))
    return x * scale, y * scale, width * scale, height * scale


def _is_saved(run: RunFolder, image: str, name: str) -> bool:
    file = image_file(run, image, name)
    return file is not None and is_kept(*file)
