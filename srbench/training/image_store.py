"""Store of decoded images: the 8-bit pixels of folders in a memory-mapped file in the user's cache.

A store is a folder of two files: ``pixels`` concatenates all images, each (h, w, 3) uint8, and ``index.json`` lists
their names, sizes and hashes. It is built under a lock in a temporary folder, which is renamed when complete. So a kill
leaves no partial store, and a second training that starts at the same time waits. The name of a store is a hash of the
names, sizes and times of the source files, so a folder that has changed is decoded again. Stores of earlier states are
removed then, unless a training still maps them: over NFS, a map does not outlive its file.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.files.hashes import sha256_texts
from srbench.files.locks import locked
from srbench.files.paths import cache_folder
from srbench.images import ImageError
from srbench.images.folders import images_below
from srbench.images.io import crop_to_multiple, header_size, pixels_sha256, read_uint8
from srbench.images.resize import downscale_uint8
from srbench.terminal.progress import progress
from srbench.training import TrainingError
from srbench.words import listed, printable, size_of

_FORMAT = 4
"""Incremented whenever any pixel of a store would change."""
_THREADS = min(4, os.cpu_count() or 1)
"""Decoding threads; each holds several copies of an image."""
_MAX_NAMED = 20
"""Largest number of images left out that a message names."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ImageSizes:
    """Names of images and, as far as their headers are readable, sizes, as in ``ImageStore``."""

    names: list[str]
    sizes: list[tuple[int, int]]
    faults: Collection[str]
    """Names of the other images."""


class ImageStore:
    """Decoded images by index: ``store[i]`` is (h, w, 3) uint8, a view of the memory-mapped file."""

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        self.folder = folder
        self.names: list[str] = index["names"]
        """Sorted paths relative to the source folder."""
        self.sizes: list[tuple[int, int]] = [(height, width) for height, width in index["sizes"]]
        self.sha256: list[str] = index["sha256"]
        """SHA-256 of every image's size and pixels."""
        self.faults: dict[str, str] = index["faults"]
        """Reasons why images were left out, by name."""
        self._offsets = [0, *np.cumsum([3 * height * width for height, width in self.sizes]).tolist()]
        with (folder / "pixels").open("rb") as file:
            _lock(file, shared=True)  # as long as the map exists, which keeps the file open
            self._pixels = np.memmap(file, np.uint8, "r")
        if len(self._pixels) != self._offsets[-1]:
            raise ValueError("the file of pixels is truncated")

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        start, end = self._offsets[number : number + 2]
        return self._pixels[start:end].reshape(*self.sizes[number], 3)


def decoded(folders: Sequence[Path]) -> ImageStore:
    """Decode all images in and below the folders, or open them from the cache if the folders have not changed.

    Unreadable images are left out with a warning. With several folders, names begin with the number of the folder.
    Raises ImageError for a folder without images, TrainingError if no image can be used.
    """
    files = _files(folders)
    stats = {name: path.stat() if path.exists() else path.lstat() for name, path in files.items()}
    state = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()]
    source = _short_hash([str(folder.resolve()) for folder in folders])
    target = cache_folder("images") / source / _short_hash([_FORMAT, state])
    return _open_or_build(target, list(files), lambda name: read_uint8(files[name]), "decoding images")


def sizes_of(folders: Sequence[Path]) -> ImageSizes:
    """Sizes of the images that ``decoded`` would decode, from their headers. Raises ImageError as it does."""
    sizes = {name: header_size(path) for name, path in _files(folders).items()}
    known = {name: (height, width) for name, (width, height) in sizes.items() if width}
    return ImageSizes([*known], [*known.values()], sizes.keys() - known)


def _files(folders: Sequence[Path]) -> dict[str, Path]:
    """All images in and below the folders by name. Raises ImageError for a folder without images."""
    files: dict[str, Path] = {}
    for number, folder in enumerate(folders):
        prefix = f"{number}/" if len(folders) > 1 else ""
        below = {path.relative_to(folder).as_posix(): path for path in images_below(folder)}
        files |= {f"{prefix}{name}": below[name] for name in sorted(below)}
    return files


def downscaled(store: ImageStore, scale: int) -> ImageStore:
    """Crop the images to a multiple of the scale and downscale them whole, as public LR sets are made.

    The result is cached beside the store, at 1/scale^2 of its size: downscaling every patch with a margin for the
    kernel would take longer than the rest of the loading. Images smaller than the scale are left out. Raises
    TrainingError if no image remains.
    """
    numbers = {name: number for number, name in enumerate(store.names)}

    def make(name: str) -> Tensor:
        image = torch.from_numpy(np.array(store[numbers[name]])).permute(2, 0, 1)
        hr = crop_to_multiple(image, scale)
        if not hr.numel():
            raise TrainingError(f"{name}: {size_of(image.shape)} is smaller than the scale {scale}")
        return torch.stack([downscale_uint8(channel, scale) for channel in hr])  # channel by channel, to save memory

    target = store.folder.with_name(f"{store.folder.name}-x{scale}")
    return _open_or_build(target, store.names, make, f"downscaling images {scale} times")


def faults_in_line(faults: Sequence[str]) -> str:
    """Join the first faults in one line, followed by the number of the rest."""
    return listed(faults, _MAX_NAMED, "; ")


def warn_of_left_out(faults: Sequence[str]) -> None:
    """Warn once of all images that a training leaves out."""
    if faults:
        warnings.warn(printable(f"images left out: {faults_in_line(faults)}"), stacklevel=3)


def ahead(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result, None, None]:
    """Yield ``work(item)`` for all items in order; each thread works one item ahead."""
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _short_hash(value: object) -> str:
    return sha256_texts(json.dumps(value))[:24]


def _open_or_build(target: Path, names: Sequence[str], make: Callable[[str], Tensor], title: str) -> ImageStore:
    try:
        with locked(target.parent / "lock", title):
            try:
                store = ImageStore(target)
            except (OSError, ValueError, KeyError):  # absent or damaged
                _build(target, names, make, title)
                store = ImageStore(target)
    except OSError as error:
        raise TrainingError(
            f"{target.parent}: decoded images, three bytes per pixel, cannot be cached there ({error.strerror}); free "
            "disk space, or set XDG_CACHE_HOME to another folder"
        ) from None
    warn_of_left_out([*store.faults.values()])
    return store


def _build(target: Path, names: Sequence[str], make: Callable[[str], Tensor], title: str) -> None:
    def attempt(name: str) -> Tensor | str:
        try:
            return make(name)
        except (ImageError, TrainingError) as error:
            return str(error)

    part = target.with_name(f"{target.name}.part")
    for folder in (target, part):
        shutil.rmtree(folder, ignore_errors=True)
    part.mkdir()
    kept: list[str] = []
    sizes: list[torch.Size] = []
    hashes: list[str] = []
    faults: dict[str, str] = {}
    try:
        with (part / "pixels").open("wb") as file, progress() as bar:
            task = bar.add_task(title, total=len(names))
            for name, image in zip(names, ahead(attempt, names, _THREADS), strict=True):
                bar.advance(task)
                if isinstance(image, str):
                    faults[name] = image
                    continue
                kept.append(name)
                sizes.append(image.shape[1:])
                hashes.append(pixels_sha256(image))
                file.write(image.permute(1, 2, 0).contiguous().numpy().tobytes())
        if not kept:
            raise TrainingError(f"none of {len(names)} images can be used: {faults_in_line([*faults.values()])}")
        index = {"names": kept, "sizes": sizes, "sha256": hashes, "faults": faults}
        (part / "index.json").write_text(json.dumps(index))
        part.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    state = target.name.partition("-")[0]
    for folder in target.parent.iterdir():
        if folder.is_dir() and not folder.name.startswith(state) and not _in_use(folder / "pixels"):
            shutil.rmtree(folder, ignore_errors=True)


def _in_use(pixels: Path) -> bool:
    """Return whether a process, on this or another machine, maps the file of pixels of a store."""
    try:
        with pixels.open("r+b") as file:
            return not _lock(file, shared=False)
    except OSError:  # a damaged store has no such file
        return False


def _lock(file: BinaryIO, *, shared: bool) -> bool:
    """Lock an open file until it is closed; return False if another lock prevents it.
    Windows removes no file in use.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
