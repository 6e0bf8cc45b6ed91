"""The table of benchmark sets, and the check of the images in their folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Literal

from srbench.data import DataError
from srbench.data.toolkit_layouts import STABLESR, find_layout
from srbench.files.atomic import write_whole
from srbench.files.config import load_toml
from srbench.files.hashes import sha256_file, sha256_texts
from srbench.files.paths import cache_folder
from srbench.images.folders import images_in
from srbench.images.io import pixels_sha256, read_uint8
from srbench.interfaces import Dataset
from srbench.terminal.output import say
from srbench.words import unknown

_TABLE = Path(__file__).with_suffix(".toml")
_SEEN = ".srbench.json"
"""File in a set's folder that lists the files already verified, by name, size and time, to verify them only once."""


@dataclass(frozen=True)
class BenchmarkSet:
    """Facts about a benchmark set."""

    title: str
    images: int
    """Number of images or pairs."""
    licence: str
    """Licence or terms of use, and the authors."""
    page: str
    """Web page for a download by hand."""
    addresses: tuple[str, ...] = ()
    """URLs of an archive or, with ``{name}`` or ``{number}``, of each image; ``{folder}`` is from ``folders``."""
    names: tuple[str, ...] = ()
    """Names of images that are downloaded one by one; empty: 001, 002 and so on."""
    pixels: str | None = None
    """``pixels_digest`` of the images or pairs; None if unknown."""
    files: str | None = None
    """``files_digest``, instead of ``pixels`` for JPEG files and colour profiles, which decoders read differently."""
    of: int | None = None
    """Number of images of a larger dataset whose first images are this set; a folder of it is accepted too."""
    has: Literal["HR", "pairs", "LR"] = "HR"
    """Kind of images: HR, from which LR is made; pairs of HR and LR; or only LR."""
    scale: int | None = None
    """Scale of the pairs."""

    @property
    def folders(self) -> tuple[str, ...]:
        """Subfolders of its images."""
        return STABLESR if self.has == "pairs" else ("",)

    @property
    def contents(self) -> str:
        """Number and kind of images, in words."""
        return f"{self.images} pairs" if self.has == "pairs" else f"{self.images} {self.has} images"

    @property
    def known_by(self) -> str:
        """How its images are verified, in words."""
        return "pixels" if self.pixels else "files" if self.files else "number of images"

    def wanted(self, name: str) -> str:
        """Return the end of an error message: how to get the set by hand."""
        source = next((address for address in self.addresses if "{" not in address), self.page)
        place = f"{set_folder(name)}, as {' and '.join(STABLESR)}" if self.has == "pairs" else set_folder(name)
        return f"get it from {source} and put its {self.contents} into {place}"


def benchmark_sets() -> dict[str, BenchmarkSet]:
    """Return all sets by name, in the order of the table."""
    return load_toml(_TABLE, dict[str, BenchmarkSet])


def find_set(name: str) -> BenchmarkSet:
    """Return the set with this name. Raises DataError, which suggests a similar name."""
    table = benchmark_sets()
    if name not in table:
        raise DataError(unknown("benchmark set", name, table))
    return table[name]


def set_folder(name: str) -> Path:
    """Return the folder of a set, which need not exist."""
    return cache_folder("data") / name


def is_downloaded(name: str) -> bool:
    """Return whether the folder of a set has files; they are verified when the set is opened."""
    folder = set_folder(name)
    return folder.is_dir() and any(folder.iterdir())


def open_set(name: str, scale: int) -> Dataset:
    """Open a set on this machine. LR is made by MATLAB-exact bicubic, unless the set has LR images.

    Raises DataError if the scale, the number of images or the pixels differ.
    """
    return opened(name, find_set(name), set_folder(name), scale)


def opened(name: str, entry: BenchmarkSet, folder: Path, scale: int) -> Dataset:
    """Open and verify the images of a set in a folder. Raises DataError as ``open_set`` does."""
    from srbench.data.datasets import Folder, LRFolder, PairedFolders  # imports torch

    if entry.scale not in (None, scale):
        raise DataError(f"{name} has pairs of scale {entry.scale}, not {scale}; use --scale {entry.scale}")
    if entry.has == "pairs":
        hr, lr = (folder / below for below in STABLESR)
        pairs = PairedFolders(hr, lr, scale)
        check_files(name, entry, pairs.hr, pairs.lr)
        pairs.name = name
        return pairs
    if entry.has == "LR":
        images = LRFolder(folder, scale)
        check_files(name, entry, images.files)
        images.name = name
        return images
    layout = find_layout(folder, scale)
    files = check_files(name, entry, images_in(folder) if layout is None else layout.hr)
    return Folder(folder, scale, name=name, files=files)


def check_files(
    name: str, entry: BenchmarkSet, files: Mapping[str, Path], lr: Mapping[str, Path] | None = None
) -> dict[str, Path]:
    """Verify files by name, and return the images of the set among them; ``lr`` are the LR images of pairs.

    Raises DataError if the number of images or the pixels differ.
    """
    folder = Path(commonpath([path.parent for path in files.values()]))
    if len(files) not in (entry.images, entry.of):
        raise DataError(f"{folder}: has {len(files)} images, and {name} has {entry.images}; {entry.wanted(name)}")
    images = dict(list(files.items())[: entry.images])
    known = entry.pixels or entry.files
    if known is None:
        return images
    folder = folder if lr is None else folder.parent
    paths = [*images.values(), *(lr or {}).values()]
    listing = {path.relative_to(folder).as_posix(): [path.stat().st_size, path.stat().st_mtime_ns] for path in paths}
    seen = json.dumps({"pixels": known, "files": listing})
    if not (folder / _SEEN).is_file() or (folder / _SEEN).read_bytes() != seen.encode():
        say(f"{name}: comparing the {entry.known_by} of {entry.contents}")
        if known != (pixels_digest(images, lr) if entry.pixels else files_digest(images)):
            where = "pixels, perhaps by a crop for a different scale" if entry.pixels else "bytes"
            option = "--lr" if entry.has == "LR" else "--data"
            raise DataError(
                f"{folder}: its images differ from {name} in their {where}; {entry.wanted(name)}, or measure them as a "
                f"folder: {option} {folder}"
            )
        with suppress(OSError):  # in a read-only folder, files are verified every time
            write_whole(folder / _SEEN, seen.encode())
    return images


def pixels_digest(files: Mapping[str, Path], lr: Mapping[str, Path] | None = None) -> str:
    """Return the SHA-256 of the sorted SHA-256 of every image's size and RGB values, one per line.

    It does not depend on file names. With ``lr``, a line has the SHA-256 of HR and LR of a pair, separated by a space.
    """
    pairs = [(path, *(() if lr is None else (lr[name],))) for name, path in files.items()]
    lines = sorted(" ".join(pixels_sha256(read_uint8(path)) for path in pair) for pair in pairs)
    return sha256_texts(*lines)


def files_digest(files: Mapping[str, Path]) -> str:
    """Return the SHA-256 of the sorted SHA-256 of every file, one per line. It does not depend on file names."""
    return sha256_texts(*sorted(map(sha256_file, files.values())))
