"""Images decoded once: the 8-bit pixels of a folder in one memory-mapped file, kept in the user's cache.

A store is a folder with two files: ``pixels`` holds all images one after another, each (h, w, 3) uint8, and
``index.json`` says where each begins. It is made under a lock, in a folder of another name that is renamed when
complete, so a store is absent or whole whatever is killed, and of two trainings that start at once one waits.
Its name holds a hash of the names, sizes and times of the source files: a folder that changed is decoded anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from srbench.images import ImageError
from srbench.images.io import ENDINGS, crop_to_multiple, pixels_sha256, read_uint8
from srbench.images.resize import downscale_uint8
from srbench.system.cache import cache_folder
from srbench.training import TrainingError

_FORMAT = 1
_WORKERS = min(4, os.cpu_count() or 1)
"""Threads that decode; each holds a whole image several times over."""
_NAMED = 20
"""Skipped images that are named before the rest is only counted."""


class ImageStore:
    """Decoded images by number: ``store[i]`` is (h, w, 3) uint8, a view of the memory-mapped file."""

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        self.folder = folder
        self.names: list[str] = index["names"]
        """Paths inside the source folder, sorted."""
        self.sizes: list[tuple[int, int]] = [(height, width) for height, width in index["sizes"]]
        self.sha256: list[str] = index["sha256"]
        """Of every image's size and pixels."""
        self.faults: dict[str, str] = index["faults"]
        """By name, what is wrong with every image that could not be used."""
        ends = np.cumsum([3 * height * width for height, width in self.sizes])
        self._offsets = [0, *ends.tolist()]
        self._pixels = np.memmap(folder / "pixels", np.uint8, "r")
        if len(self._pixels) != self._offsets[-1]:
            raise ValueError("pixels cut off")

    def __len__(self) -> int:
        """How many images."""
        return len(self.names)

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        start, end = self._offsets[number : number + 2]
        return self._pixels[start:end].reshape(*self.sizes[number], 3)


def decoded(folders: Sequence[Path], cache: Path | None = None) -> ImageStore:
    """All images in and below the folders, from the cache where they have not changed since.

    Those that cannot be read are named in one warning and left out. ``cache`` is where stores are kept, by default
    ``srbench/images`` in the user's cache. With several folders a name begins with the folder's number.
    Raises TrainingError for a missing folder or when no image is left.
    """
    files = {
        (f"{number}/{name}" if len(folders) > 1 else name): path
        for number, folder in enumerate(folders)
        for name, path in _images_below(folder).items()
    }
    facts = {name: path.stat() if path.exists() else path.lstat() for name, path in files.items()}
    state = [(name, fact.st_size, fact.st_mtime_ns) for name, fact in facts.items()]
    source = _short_hash([str(folder.resolve()) for folder in folders])
    target = (cache or cache_folder("images")) / source / _short_hash([_FORMAT, state])
    store = _open_or_build(target, list(files), lambda name: read_uint8(files[name]), "decoding images")
    warn_of_left_out([*store.faults.values()])
    return store


def downscaled(store: ImageStore, scale: int) -> ImageStore:
    """The same images, cropped to a multiple of the scale and downscaled whole by ``resize.downscale_uint8``.

    That is how the public LR sets are made. It is kept beside the store at 1/scale^2 of its size, since cutting LR
    out of it costs a training nothing, whereas downscaling every HR patch (with the margin that the kernel reaches)
    costs more than all the rest of the loading. Images smaller than the scale are left out.
    Raises TrainingError when none is left.
    """
    numbers = {name: number for number, name in enumerate(store.names)}

    def make(name: str) -> Tensor:
        image = torch.from_numpy(np.array(store[numbers[name]])).permute(2, 0, 1)
        hr = crop_to_multiple(image, scale)
        if not hr.numel():
            raise TrainingError(f"{name}: {image.shape[1]}x{image.shape[2]} is smaller than the scale {scale}")
        return torch.stack([downscale_uint8(channel, scale) for channel in hr])  # one at a time, to save memory

    target = store.folder.with_name(f"{store.folder.name}-x{scale}")
    smaller = _open_or_build(target, store.names, make, f"downscaling images {scale} times")
    warn_of_left_out([*smaller.faults.values()])
    return smaller


def listed(faults: Sequence[str]) -> str:
    """The first faults as one line, and how many more there are."""
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return "; ".join(faults[:_NAMED]) + more


def warn_of_left_out(faults: Sequence[str]) -> None:
    """One warning that names the images a training does without."""
    if faults:
        warnings.warn(f"images left out: {listed(faults)}", stacklevel=3)


def _images_below(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "missing"
        raise TrainingError(f"{folder}: {kind}, not a folder of images; check the path")
    found: dict[str, Path] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.suffix.lower() in ENDINGS and not hidden:
            found[name.as_posix()] = path  # what is no file is named when it is read
    if not found:
        raise TrainingError(f"{folder}: no images in it or below; {', '.join(ENDINGS)} are read")
    return dict(sorted(found.items()))


def _short_hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def _open_or_build(target: Path, names: Sequence[str], make: Callable[[str], Tensor], title: str) -> ImageStore:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent / "lock", title):
            store = _open(target)
            if store is None:
                _build(target, names, make, title)
                _remove_old(target)
                store = ImageStore(target)
            return store
    except OSError as error:
        raise TrainingError(
            f"{target.parent}: decoded images cannot be kept there ({error.strerror}); they take three bytes a "
            "pixel; make room, or name another cache in XDG_CACHE_HOME"
        ) from None


@contextmanager
def _locked(path: Path, title: str) -> Iterator[None]:
    lock = FileLock(path)  # the system lets go of it when the process dies
    try:
        lock.acquire(timeout=2)
    except Timeout:
        warnings.warn(f"{path.parent}: another process is {title}; waiting for it", stacklevel=2)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _open(target: Path) -> ImageStore | None:
    try:
        return ImageStore(target)
    except (OSError, ValueError, KeyError):  # absent, or damaged by something else than us
        return None


def _build(target: Path, names: Sequence[str], make: Callable[[str], Tensor], title: str) -> None:
    part = target.with_name(f"{target.name}.part")
    for folder in (target, part):
        shutil.rmtree(folder, ignore_errors=True)
    part.mkdir()
    kept, sizes, hashes, faults = [], [], [], {}
    try:
        with (part / "pixels").open("wb") as file:
            for name, image in zip(names, _with_progress(_made(names, make), len(names), title), strict=True):
                if isinstance(image, str):
                    faults[name] = image
                    continue
                kept.append(name)
                sizes.append(image.shape[1:])
                hashes.append(pixels_sha256(image))
                file.write(image.permute(1, 2, 0).contiguous().numpy().tobytes())
        if not kept:
            raise TrainingError(f"none of {len(names)} images can be used: {listed([*faults.values()])}")
        index = {"names": kept, "sizes": sizes, "sha256": hashes, "faults": faults}
        (part / "index.json").write_text(json.dumps(index))
        part.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _made(names: Sequence[str], make: Callable[[str], Tensor]) -> Iterator[Tensor | str]:
    """Every image in order, made by a few threads; a sentence in place of one that cannot be used."""

    def attempt(name: str) -> Tensor | str:
        try:
            return make(name)
        except (ImageError, TrainingError) as error:
            return str(error)

    with ThreadPoolExecutor(_WORKERS) as pool:
        pending: deque[Future[Tensor | str]] = deque()
        for name in names:
            pending.append(pool.submit(attempt, name))
            if len(pending) > _WORKERS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _with_progress(images: Iterator[Tensor | str], total: int, title: str) -> Iterator[Tensor | str]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        yield from progress.track(images, total=total, description=title)


def _remove_old(target: Path) -> None:
    """Stores of earlier states of the folder; a training that still reads one keeps its file until it ends."""
    state = target.name.partition("-")[0]
    for folder in target.parent.iterdir():
        if folder.is_dir() and not folder.name.startswith(state):
            shutil.rmtree(folder, ignore_errors=True)
