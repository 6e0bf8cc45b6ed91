"""Random aligned LR and HR patches from folders of images, independent of the number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.files.hashes import sha256_texts
from srbench.images.pairing import ending_of, require_larger_hr
from srbench.interfaces import ImagePair
from srbench.training import TrainingError
from srbench.training.config import TrainingConfig
from srbench.training.image_store import (
    ImageSizes,
    ImageStore,
    ahead,
    decoded,
    downscaled,
    faults_in_line,
    warn_of_left_out,
)
from srbench.words import size_of

_THREADS = 2
"""Threads that draw the batches of the next steps, mostly without holding Python's global lock."""


def generator_at(seed: int, *position: int) -> torch.Generator:
    """A generator that depends only on the seed and a position in the training, such as (step, patch, purpose)."""
    digest = hashlib.sha256(repr((seed, *position)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


class Patches:
    """Random patches of the images in and below folders, flipped and rotated.

    Patch j of a step is drawn by a generator seeded with seed, step and j, so batches depend neither on the number of
    processes nor on earlier steps. Without ``lr``, whole HR images are downscaled before patches are taken, so LR
    patches have no border effects. With ``lr``, images are paired by name, and HR, cropped to a multiple of the scale,
    has to be ``scale`` times as large. Unreadable images and images smaller than a patch are left out with a warning.
    Raises ImageError or TrainingError for unusable folders, pairs or sizes.
    """

    def __init__(self, data: Sequence[Path], scale: int, config: TrainingConfig, lr: Sequence[Path] = ()) -> None:
        self.scale = scale
        self.config = config
        self._folders = data
        self._hr = decoded(data)
        self._lr = decoded(lr) if lr else downscaled(self._hr, scale)
        self._pairs = usable_pairs(self._hr, self._lr, scale, config.patch, is_downscaled=not lr)

    def centres(self, most: int, side: int) -> list[ImagePair]:
        """Central crops, of at most ``side`` HR pixels a side, of up to ``most`` evenly spread images."""
        return [self._centre(*self._pairs[at], side) for at in self._spread(min(most, len(self._pairs)))]

    def hold_out(self, most: int, side: int) -> list[ImagePair]:
        """Like ``centres``, but of at most every tenth image; patches are no longer drawn from these images."""
        chosen = self._spread(min(most, len(self._pairs) // 10))
        held_out = [self._centre(*self._pairs[at], side) for at in chosen]
        self._pairs = [pair for at, pair in enumerate(self._pairs) if at not in chosen]
        return held_out

    def _spread(self, number: int) -> list[int]:
        return [at * len(self._pairs) // number for at in range(number)]

    def _centre(self, hr: int, lr: int, side: int) -> ImagePair:
        height, width = (2 * (min(length, side // self.scale) // 2) for length in self._lr.sizes[lr])
        top, left = ((length - kept) // 2 for length, kept in zip(self._lr.sizes[lr], (height, width), strict=True))
        cut = [
            np.array(image[factor * top : factor * (top + height), factor * left : factor * (left + width)])
            for image, factor in ((self._lr[lr], 1), (self._hr[hr], self.scale))
        ]
        return ImagePair(_stem(self._hr.names[hr]), *(_unit(image[None])[0].contiguous() for image in cut))

    @property
    def origin(self) -> str:
        """Description of the source of the patches."""
        many = "image" if len(self._pairs) == 1 else "images"
        return f"{len(self._pairs)} {many} of the folder {', '.join(f.resolve().name for f in self._folders)}"

    @property
    def images(self) -> dict[str, str]:
        """SHA-256 of the size and pixels of every HR image in use, decoded and not cropped, by its name."""
        return {self._hr.names[hr]: self._hr.sha256[hr] for hr, _ in self._pairs}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the names, sizes and pixels of all HR and LR images in use."""
        used = [(self._hr.names[hr], self._hr.sha256[hr], self._lr.sha256[lr]) for hr, lr in self._pairs]
        return sha256_texts(repr(used))

    def batch(self, step: int, rank: int = 0, world: int = 1) -> tuple[Tensor, Tensor]:
        """Draw the share of process ``rank`` of ``world`` in a step: b = batch / world patches, channels last.

        Returns LR (b, 3, p/s, p/s) and HR (b, 3, p, p) in [0, 1].
        """
        number = self.config.batch // world
        side = self.config.patch
        lr = np.empty((number, side // self.scale, side // self.scale, 3), np.uint8)
        hr = np.empty((number, side, side, 3), np.uint8)
        for row in range(number):
            lr[row], hr[row] = self._patch(generator_at(self.config.seed, step, rank * number + row))
        return _unit(lr), _unit(hr)

    def batches(self, start: int, rank: int = 0, world: int = 1) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield the batches from step ``start`` on, endlessly; threads draw them a few steps ahead."""
        return ahead(lambda step: self.batch(step, rank, world), count(start), _THREADS)

    def _patch(self, generator: torch.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        hr_number, lr_number = self._pairs[_below(len(self._pairs), generator)]
        lr, hr = self._lr[lr_number], self._hr[hr_number]
        side = self.config.patch // self.scale
        top, left = (_below(length - side + 1, generator) for length in lr.shape[:2])
        turns = _below(4, generator)
        flip = _below(2, generator)
        lr, hr = (
            np.rot90(image[factor * top :, factor * left :][: factor * side, : factor * side], turns)
            for image, factor in ((lr, 1), (hr, self.scale))
        )
        return (lr[:, ::-1], hr[:, ::-1]) if flip else (lr, hr)


def usable_pairs(
    hr: ImageStore | ImageSizes,
    lr: ImageStore | ImageSizes,
    scale: int,
    patch: int,
    *,
    is_downscaled: bool = False,
) -> list[tuple[int, int]]:
    """Numbers of the HR and LR image of every pair that gives patches; warns of the pairs left out.

    Images are paired by name; LR that ``is_downscaled`` from HR has its names. Raises ImageError or TrainingError if
    names do not pair, HR and LR are exchanged, or no pair gives patches.
    """
    paired = {name: name for name in hr.names} if is_downscaled else _partners(hr, lr, scale)
    numbers = {name: number for number, name in enumerate(lr.names)}
    pairs = [(at, numbers[paired[name]]) for at, name in enumerate(hr.names) if paired[name] in numbers]
    if not is_downscaled:
        sides = ((hr.names[high], hr.sizes[high], lr.sizes[low]) for high, low in pairs)
        require_larger_hr((name, (w, h), (low_w, low_h)) for name, (h, w), (low_h, low_w) in sides)
    faults = {(high, low): _fault(hr.names[high], hr.sizes[high], lr.sizes[low], scale, patch) for high, low in pairs}
    usable = [pair for pair in pairs if not faults[pair]]
    reasons = [fault for fault in faults.values() if fault]
    if not usable:
        raise TrainingError(
            f"none of {len(pairs)} images gives patches of {patch}: {faults_in_line(reasons)}; "
            "give larger images or choose a preset with smaller patches"
        )
    warn_of_left_out(reasons)
    return usable


def _fault(name: str, hr: tuple[int, int], lr: tuple[int, int], scale: int, patch: int) -> str:
    """Why a pair of these sizes, height and width, gives no patches; empty if it does."""
    if min(lr) * scale < patch:
        return f"{name}: {size_of(hr)} is smaller than the patch of {patch}"
    if (hr[0] // scale, hr[1] // scale) != lr:
        return f"{name}: HR of {size_of(hr)} is not {scale} times LR of {size_of(lr)}"
    return ""


def _partners(hr: ImageStore | ImageSizes, lr: ImageStore | ImageSizes, scale: int) -> dict[str, str]:
    """Names of LR images by HR name: equal except for the file extension, or with x4 or _x4 appended.

    Raises TrainingError if an image has no partner, or the names of two images differ only in the file extension.
    """
    hr_names, lr_names = ({_stem(name): name for name in (*store.names, *store.faults)} for store in (hr, lr))
    if len(hr_names) < len(hr.names) + len(hr.faults) or len(lr_names) < len(lr.names) + len(lr.faults):
        raise TrainingError(
            "HR and LR are paired by name, but two images of a folder differ only in the file extension"
        )
    ending = ending_of(lr_names, hr_names, scale)
    if unpaired := sorted({stem + ending for stem in hr_names} ^ set(lr_names)):
        raise TrainingError(
            f"HR and LR are paired by name, but these are unpaired: {faults_in_line(unpaired)}; add or remove images"
        )
    return {name: lr_names[stem + ending] for stem, name in hr_names.items()}


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _unit(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32).div_(255)


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))
