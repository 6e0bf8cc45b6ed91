"""Folders of images: every image has a name, its file name without the ending."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from srbench.images import ImageError
from srbench.images.io import ENDINGS
from srbench.system.file_names import no_file


class ImageFiles(Mapping[str, Path]):
    """The images of a folder by name, sorted. A path is made where it is asked for: folders may be large."""

    def __init__(self, folder: Path, endings: Mapping[str, str]) -> None:
        self.folder = folder
        self._endings = dict(sorted(endings.items()))

    def __getitem__(self, name: str) -> Path:
        """The file of a name. Raises KeyError."""
        return self.folder / (name + self._endings[name])

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._endings)

    def __len__(self) -> int:
        """How many images."""
        return len(self._endings)


def images_in(folder: Path) -> ImageFiles:
    """The images of a folder by name, sorted; hidden files and other endings are passed over.

    Raises ImageError where there is no such folder, no image in it, two of one name (``a.png``, ``a.jpg``), or
    something of such a name that is no file: passed over, it would be missed by nobody.
    """
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "missing"
        raise ImageError(f"{folder}: {kind}, not a folder of images; check the path")
    endings: dict[str, str] = {}
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
    for path in paths:
        if path.name.startswith("."):
            continue
        if kind := no_file(path):
            raise ImageError(f"{path}: {kind}, not a file; put an image in its place, or move it away")
        if path.stem in endings:
            raise ImageError(
                f"{folder}: {path.stem}{endings[path.stem]} and {path.name} have one name; "
                "images are paired by name, so move one of them away"
            )
        endings[path.stem] = sys.intern(path.suffix)
    if not endings:
        raise ImageError(f"{folder}: no images in it; {', '.join(ENDINGS)} are read")
    return ImageFiles(folder, endings)


def images_below(folder: Path) -> list[Path]:
    """The images of a folder and its sub-folders, sorted; hidden files and folders are skipped, links not followed.

    Raises ImageError where there is none, or a folder cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise ImageError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")

    found = []
    for here, below, names in os.walk(folder, onerror=fail):
        below[:] = [name for name in below if not name.startswith(".")]
        found += [Path(here, one) for one in names if not one.startswith(".") and Path(one).suffix.lower() in ENDINGS]
    if not found:
        raise ImageError(f"{folder}: no images in it; {', '.join(ENDINGS)} are read")
    return sorted(found)


def holds_images(folder: Path) -> bool:
    """Is there any in a folder, not below it? Raises ImageError where it cannot be listed."""
    try:
        return any(path.suffix.lower() in ENDINGS and not path.name.startswith(".") for path in folder.iterdir())
    except OSError as error:
        raise ImageError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
