"""Random aligned LR and HR patches of folders of images, the same whatever draws them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.interfaces import ImagePair
from srbench.training import TrainingError
from srbench.training.image_store import ImageStore, decoded, downscaled, listed, warn_of_left_out

_WORKERS = 2
"""Threads that draw the batches of the next steps; what they do happens outside Python's lock."""


class PatchConfig(Protocol):
    """What of a preset concerns the data."""

    @property
    def batch(self) -> int:
        """Patches a step, of all processes together."""
        ...

    @property
    def patch(self) -> int:
        """Side of an HR patch in pixels, a multiple of the scale."""
        ...

    @property
    def seed(self) -> int:
        """Of everything random."""
        ...


def generator_at(seed: int, *where: int) -> torch.Generator:
    """A generator for one place in the training (step, patch, purpose): equal places draw equal numbers."""
    digest = hashlib.sha256(repr((seed, *where)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


class Patches:
    """Random patches of the images in and below some folders, flipped and turned.

    Patch j of a step is drawn from a generator seeded with seed, step and j, from an image drawn first. So the
    batches depend neither on the number of processes nor on how many steps were drawn before.

    ``data`` is one folder of HR images or several. Without ``lr``, LR is the whole HR image downscaled exactly
    (``image_store.downscaled``), so patches have no borders of their own. With ``lr``, as many folders, images are
    paired by name; HR, cut to a multiple of the scale, has to be ``scale`` times as large. ``cache`` is where the
    decoded images are kept. Images that are damaged or smaller than a patch are named in a warning and left out.
    Raises TrainingError for unusable folders, TrainingError for pairs or sizes that do not fit.
    """

    def __init__(
        self,
        data: Path | Sequence[Path],
        scale: int,
        config: PatchConfig,
        *,
        lr: Path | Sequence[Path] | None = None,
        cache: Path | None = None,
    ) -> None:
        if config.patch % scale:
            raise TrainingError(f"patch {config.patch} is no multiple of the scale {scale}; correct the preset")
        self.scale, self.config = scale, config
        self._folders = _folders(data)
        self._hr = decoded(self._folders, cache)
        self._lr = downscaled(self._hr, scale) if lr is None else decoded(_folders(lr), cache)
        pairs = _same_names(self._hr, self._lr) if lr is None else _same_stems(self._hr, self._lr)
        self._pairs = self._usable(pairs)
        self.files = [self._hr.names[hr] for hr, _ in self._pairs]
        """The images that are used, by their paths inside the folder."""

    def centres(self, most: int, side: int) -> list[ImagePair]:
        """Up to ``most`` whole images, evenly spread, their centres cut to at most ``side`` HR pixels."""
        return [self._centre(*self._pairs[at], side) for at in self._spread(min(most, len(self._pairs)))]

    def hold_out(self, most: int, side: int) -> list[ImagePair]:
        """As ``centres``, but of one image in ten at most, and no patch will come from these images any more."""
        chosen = self._spread(min(most, len(self._pairs) // 10))
        held_out = [self._centre(*self._pairs[at], side) for at in chosen]
        self._pairs = [pair for at, pair in enumerate(self._pairs) if at not in chosen]
        self.files = [self._hr.names[hr] for hr, _ in self._pairs]
        return held_out

    def _spread(self, number: int) -> list[int]:
        return [at * len(self._pairs) // number for at in range(number)]

    def _centre(self, hr: int, lr: int, side: int) -> ImagePair:
        small = self._lr[lr]
        lengths = [2 * (min(length, side // self.scale) // 2) for length in small.shape[:2]]
        top, left = ((length - wanted) // 2 for length, wanted in zip(small.shape[:2], lengths, strict=True))
        cut = [
            np.array(image[factor * top : factor * (top + lengths[0]), factor * left : factor * (left + lengths[1])])[
                None
            ]
            for image, factor in ((small, 1), (self._hr[hr], self.scale))
        ]
        return ImagePair(_stem(self._hr.names[hr]), *(_unit(image)[0].contiguous() for image in cut))

    @property
    def origin(self) -> str:
        """What the patches are taken from, in words."""
        many = "image" if len(self.files) == 1 else "images"
        return f"{len(self.files)} {many} of the folder {', '.join(f.resolve().name for f in self._folders)}"

    @property
    def fingerprint(self) -> str:
        """sha256 of all that determines the images used: names, sizes and pixels of HR and LR."""
        used = [(self._hr.names[hr], self._hr.sha256[hr], self._lr.sha256[lr]) for hr, lr in self._pairs]
        return hashlib.sha256(repr(used).encode()).hexdigest()

    def batch(self, step: int, rank: int = 0, world: int = 1) -> tuple[Tensor, Tensor]:
        """LR (b, 3, p/s, p/s) and HR (b, 3, p, p) in [0, 1], in channels-last memory.

        The share of process ``rank`` of ``world``: b is the preset's batch divided by ``world``. The shares of all
        processes together are the batch of one. Raises TrainingError where they cannot be equally large.
        """
        share, rest = divmod(self.config.batch, world)
        if rest:
            raise TrainingError(f"a batch of {self.config.batch} cannot be shared by {world} processes; change it")
        side = self.config.patch
        lr = np.empty((share, side // self.scale, side // self.scale, 3), np.uint8)
        hr = np.empty((share, side, side, 3), np.uint8)
        for row in range(share):
            lr[row], hr[row] = self._patch(generator_at(self.config.seed, step, rank * share + row))
        return _unit(lr), _unit(hr)

    def batches(self, start: int, rank: int = 0, world: int = 1) -> Generator[tuple[Tensor, Tensor], None, None]:
        """The batches of step ``start`` and all that follow, without end; threads draw them a few steps ahead."""
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="patches") as pool:
            pending: deque[Future[tuple[Tensor, Tensor]]] = deque()
            try:
                for step in count(start):
                    pending.append(pool.submit(self.batch, step, rank, world))
                    if len(pending) > _WORKERS:
                        yield pending.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _patch(self, generator: torch.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        hr_number, lr_number = self._pairs[_below(len(self._pairs), generator)]
        lr, hr = self._lr[lr_number], self._hr[hr_number]
        side = self.config.patch // self.scale
        top, left = (_below(length - side + 1, generator) for length in lr.shape[:2])
        turns, flip = _below(4, generator), _below(2, generator)
        lr, hr = (
            np.rot90(image[y : y + size, x : x + size], turns)
            for image, y, x, size in (
                (lr, top, left, side),
                (hr, top * self.scale, left * self.scale, self.config.patch),
            )
        )
        return (lr[:, ::-1], hr[:, ::-1]) if flip else (lr, hr)

    def _usable(self, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Without those whose sizes do not fit; a warning names them."""
        faults = [self._fault(hr, lr) for hr, lr in pairs]
        usable = [pair for pair, fault in zip(pairs, faults, strict=True) if fault is None]
        named = [fault for fault in faults if fault is not None]
        if not usable:
            raise TrainingError(
                f"none of {len(pairs)} images gives patches of {self.config.patch}: {listed(named)}; "
                "give larger images or choose a preset with smaller patches"
            )
        warn_of_left_out(named)
        return usable

    def _fault(self, hr: int, lr: int) -> str | None:
        name, (height, width), lr_size = self._hr.names[hr], self._hr.sizes[hr], self._lr.sizes[lr]
        if min(lr_size) * self.scale < self.config.patch:
            return f"{name}: {height}x{width} is smaller than the patch of {self.config.patch}"
        if tuple(side // self.scale for side in (height, width)) != lr_size:
            return f"{name}: HR of {height}x{width} is not {self.scale} times LR of {lr_size[0]}x{lr_size[1]}"
        return None


def _folders(data: Path | Sequence[Path]) -> list[Path]:
    return [data] if isinstance(data, Path) else list(data)


def _same_names(hr: ImageStore, lr: ImageStore) -> list[tuple[int, int]]:
    """Numbers of the images that are in both, LR having been made from HR."""
    numbers = {name: number for number, name in enumerate(lr.names)}
    return [(number, numbers[name]) for number, name in enumerate(hr.names) if name in numbers]


def _same_stems(hr: ImageStore, lr: ImageStore) -> list[tuple[int, int]]:
    """Numbers of the images that have one name but for the ending; every file must have its partner."""
    hr_files, lr_files = ({_stem(name): name for name in [*store.names, *store.faults]} for store in (hr, lr))
    if len(hr_files) + len(lr_files) < sum(len(store.names) + len(store.faults) for store in (hr, lr)):
        raise TrainingError("HR and LR are paired by name, but two images of one folder differ in the ending only")
    if alone := sorted(hr_files.keys() ^ lr_files.keys()):
        raise TrainingError(f"HR and LR are paired by name, but these are alone: {listed(alone)}; add or remove images")
    numbers = {_stem(name): number for number, name in enumerate(lr.names)}
    return [(number, numbers[_stem(name)]) for number, name in enumerate(hr.names) if _stem(name) in numbers]


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _unit(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32).div_(255)


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))
