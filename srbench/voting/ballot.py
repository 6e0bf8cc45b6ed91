"""Ballots: the questions of a rater, in an order and with sides that the rater's name and a seed determine."""

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
"""Longest side of the part of an image that is shown, in HR pixels; smaller images are shown whole."""


@dataclass(frozen=True)
class Candidates:
    """Images to vote on: outputs of at least two settings for the same images."""

    run: RunFolder
    settings: tuple[Setting, ...]
    reference: Literal["hr", "lr"]
    images: tuple[str, ...]
    """Images of which the reference and the outputs of all settings are in the run folder, unchanged."""

    def file(self, image: str, name: str) -> tuple[Path, ImageDigest]:
        """Path and digest of an image by its name in questions."""
        found = image_file(self.run, image, name)
        assert found is not None
        return found

    def shown(self, image: str, name: str) -> Shown:
        """Name and pixels of an image, as questions state them."""
        return Shown(name, self.file(image, name)[1].pixels)


def open_candidates(path: Path, models: Sequence[str] = (), reference: Literal["hr", "lr"] | None = None) -> Candidates:
    """Read a run whose images are to be voted on.

    ``models`` are labels, for a model at all its temperatures, or rows such as ``srflow-t0.8``; by default all rows.
    The reference is HR, or LR in a run without HR. Raises VotingError if there are fewer than two rows, if they have no
    image in common, or if HR is asked for and missing; RunFolderError if there is no run.
    """
    run = RunFolder.read(path)
    settings = run.manifest.settings
    known = {name for setting in settings for name in (setting.folder, setting.model)}
    if missing := [name for name in models if name not in known]:
        raise VotingError(unknown("model", missing[0], known))
    if models:
        settings = tuple(setting for setting in settings if {setting.folder, setting.model} & set(models))
    if len(settings) < 2:
        raise VotingError(f"{path}: votes need two models, not {len(settings)}; name others with --models")
    if reference == HR and not run.has_hr:
        raise VotingError(f"{path}: has no HR images; use --reference lr")
    reference = reference or ("hr" if run.has_hr else "lr")
    names = [reference, *(setting.folder for setting in settings)]
    images = tuple(image for image in run.manifest.images if all(_is_here(run, image, name) for name in names))
    if not images:
        raise VotingError(f"{path}: no image has unchanged files of {', '.join(names)}; run its command again")
    return Candidates(run, settings, reference, images)


def ballot(candidates: Candidates, rater: str, votes: int, seed: int) -> list[Question]:
    """Questions of a rater in order: ``votes`` of them, or all there are.

    Every pair of models is asked equally often, as far as the number allows, each time on another image. Pairs of equal
    outputs are left out. The same arguments give the same ballot.
    """
    questions = list(islice(_questions(candidates, np.random.default_rng([seed, *rater.encode()])), votes))
    if not questions:
        raise VotingError(f"{candidates.run.path}: the outputs of these models are equal on all images")
    return questions


def _questions(candidates: Candidates, random: np.random.Generator) -> Iterator[Question]:
    pairs = list(combinations((setting.folder for setting in candidates.settings), 2))
    orders = [random.permutation(candidates.images).tolist() for _ in pairs]
    for turn in range(len(candidates.images)):
        for place in random.permutation(len(pairs)):
            image = orders[place][turn]
            left, right = (candidates.shown(image, name) for name in random.permutation(pairs[place]).tolist())
            if left.pixels != right.pixels:
                reference = candidates.shown(image, candidates.reference)
                yield Question(image, _window(candidates, image, random), reference, left, right)


def _window(candidates: Candidates, image: str, random: np.random.Generator) -> tuple[int, int, int, int]:
    """The whole image, or a random part of a large one, aligned to LR pixels."""
    scale = candidates.run.manifest.protocol.scale
    file, _ = candidates.file(image, candidates.settings[0].folder)
    with Image.open(file, formats=["PNG"]) as opened:
        sides = [side // scale for side in opened.size]
    width, height = (min(side, LARGEST_WINDOW // scale) for side in sides)
    x, y = (int(random.integers(side - part + 1)) for side, part in zip(sides, (width, height), strict=True))
    return x * scale, y * scale, width * scale, height * scale


def _is_here(run: RunFolder, image: str, name: str) -> bool:
    found = image_file(run, image, name)
    return found is not None and is_kept(*found)
