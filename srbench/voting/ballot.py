"""Ballots: the questions of one rater, in an order and with sides that the rater's name and a seed determine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, cycle
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec.structs import replace

from srbench.images.io import header_size
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import digest
from srbench.voting import VotingError
from srbench.voting.records import HR, LR, Question, Shown, pixels_of
from srbench.words import unknown

VOTES = 60
"""Questions that count in a ballot, repeats and obvious ones not included."""
PER_OBVIOUS, PER_REPEAT = 3, 8
"""One obvious question for so many that count, and one repeat."""
APART = 5
"""Least number of other questions between one and its repeat."""
LARGEST_WINDOW = 512
"""Longest side of the part of an image that is shown, in HR pixels; smaller images are shown whole."""


@dataclass(frozen=True)
class Candidates:
    """Images that can be voted on: outputs of several settings for the same images."""

    run: RunFolder
    settings: tuple[Setting, ...]
    images: tuple[str, ...]
    """Names of the images that all settings and the pair have."""
    reference: Literal["hr", "lr"]
    has_hr: bool

    def file(self, image: str, name: str) -> Path:
        """Path of an image by its name in questions."""
        if name in (HR, LR):
            lr, hr = self.run.pair_files(image)
            return hr if name == HR else lr
        setting = next(one for one in self.settings if one.folder == name)
        record = self.run.sample(setting, image)
        assert record is not None
        return self.run.output_files(record)[0]


def open_candidates(path: Path, models: Sequence[str] = (), reference: Literal["hr", "lr"] | None = None) -> Candidates:
    """Read a run whose images are to be voted on.

    ``models`` are labels, for a model at all its temperatures, or rows such as ``srflow-t0.8``; by default all rows.
    The reference is HR, or LR in a run without HR. Raises VotingError if there are not two rows, they share no image,
    or HR is asked for and is not there; RunFolderError if there is no run.
    """
    run = RunFolder.read(path)
    settings = run.manifest.settings
    known = {one.folder for one in settings} | {one.model for one in settings}
    if others := [name for name in models if name not in known]:
        raise VotingError(unknown("model", others[0], known))
    if models:
        settings = tuple(one for one in settings if one.folder in models or one.model in models)
    if len(settings) < 2:
        raise VotingError(f"{path}: votes need two models, not {len(settings)}; name others with --models")
    names = [LR, *(one.folder for one in settings)]
    images = tuple(one for one in run.manifest.images if all(pixels_of(run, one, name) for name in names))
    if not images:
        raise VotingError(f"{path}: no image has kept outputs of {', '.join(names[1:])}; run its command again")
    with_hr = tuple(one for one in images if pixels_of(run, one, HR))
    if reference == HR and not with_hr:
        raise VotingError(f"{path}: has no HR images; use --reference lr")
    reference = reference or (HR if with_hr else LR)  # type: ignore[assignment]  # both are literals
    images = with_hr if reference == HR else images
    return Candidates(run, settings, images, "hr" if reference == HR else "lr", bool(with_hr))


def ballot(candidates: Candidates, rater: str, votes: int = VOTES, seed: int = 0) -> list[Question]:
    """Questions of a rater in order: ``votes`` that count, or all there are, and among them obvious and repeated ones.

    All pairs of models are asked equally often, as far as the number allows, each on images at random. A third as many
    questions show HR against LR, as often left as right; an eighth as many are asked again with the sides swapped.
    Pairs of equal images are no question. The same arguments give the same ballot.
    """
    random = np.random.default_rng(int(digest("ballot", seed, rater)[:16], 16))
    counted = _counted(candidates, votes, random)
    if not counted:
        raise VotingError(f"{candidates.run.path}: the outputs of these models are equal on all images")
    places: list[tuple[float, Question]] = [*enumerate(counted)]
    halfway = len(counted) // 2
    early = [place for place in random.permutation(max(halfway, 1)) if place + APART < len(counted)]
    again = early[: len(counted) // PER_REPEAT]
    for place in again:
        one = counted[place]
        repeat = replace(one, kind="repeat", left=one.right, right=one.left)
        places.append((float(random.uniform(place + APART, len(counted) + 1)), repeat))
    for obvious in _obvious(candidates, len(counted) // PER_OBVIOUS, random):
        places.append((float(random.uniform(-1, len(counted))), obvious))
    turns: Counter[Question] = Counter()
    questions = []
    for _, question in sorted(places, key=lambda one: one[0]):
        questions.append(replace(question, turn=turns[question]))
        turns[question] += 1
    return questions


def _counted(candidates: Candidates, votes: int, random: np.random.Generator) -> list[Question]:
    pairs = list(combinations(candidates.settings, 2))
    random.shuffle(pairs)
    images = {pair: iter(random.permutation(len(candidates.images))) for pair in pairs}
    found: list[Question] = []
    for pair in cycle(pairs):
        if len(found) == votes or not images:
            break
        for place in images.get(pair, ()):
            image = candidates.images[place]
            left, right = (_shown(candidates, image, pair[k].folder) for k in random.permutation(2))
            if left.pixels != right.pixels:
                found.append(_question(candidates, "vote", image, left, right, random))
                break
        else:
            images.pop(pair, None)
    random.shuffle(found)
    return found


def _obvious(candidates: Candidates, count: int, random: np.random.Generator) -> Iterator[Question]:
    """HR against LR on images at random, as often left as right; none in a run without HR."""
    images = [one for one in candidates.images if pixels_of(candidates.run, one, HR)] if candidates.has_hr else []
    order = random.permutation(count)
    for place in range(count if images else 0):
        image = images[random.integers(len(images))]
        sides = [_shown(candidates, image, name) for name in (HR, LR)]
        left, right = sides if order[place] % 2 else sides[::-1]
        yield _question(candidates, "obvious", image, left, right, random)


def _shown(candidates: Candidates, image: str, name: str) -> Shown:
    return Shown(name, pixels_of(candidates.run, image, name) or "")


def _question(
    candidates: Candidates,
    kind: Literal["vote", "obvious"],
    image: str,
    left: Shown,
    right: Shown,
    random: np.random.Generator,
) -> Question:
    """A question about a window at random: the whole image, or a part in whole LR pixels."""
    scale = candidates.run.manifest.protocol.scale
    sides = header_size(candidates.file(image, LR))
    shown = [min(side, LARGEST_WINDOW // scale) for side in sides]
    x, y = (int(random.integers(side - part + 1)) for side, part in zip(sides, shown, strict=True))
    if not all(sides):
        raise VotingError(f"{candidates.file(image, LR)}: cannot be read; run the command of the run again")
    window = (x * scale, y * scale, shown[0] * scale, shown[1] * scale)
    return Question(kind, image, candidates.reference, window, left, right)
