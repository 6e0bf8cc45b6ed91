"""Folders of images: every image is named by its file name without the extension."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from srbench.files.paths import no_file
from srbench.images import ImageError
from srbench.images.io import ENDINGS

_EMPTY = f"{{}}: contains no images; supported are {', '.join(ENDINGS)}"


def is_image(path: PurePath) -> bool:
    """True if the file name has the ending of an image and is not hidden."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def images_in(folder: Path) -> dict[str, Path]:
    """The images of a folder by name, sorted, without hidden files and other endings.

    Raises ImageError for a missing folder, one without images, two images of one name (``a.png``, ``a.jpg``), and a
    pipe or a folder with the name of an image.
    """
    _require_folder(folder)
    found: dict[str, Path] = {}
    for path in image_files(folder):
        if kind := no_file(path):
            raise ImageError(f"{path}: {kind}, not a file; put an image in its place, or move it away")
        if (other := found.setdefault(path.stem, path)) is not path:
            raise ImageError(
                f"{folder}: {other.name} and {path.name} share a name; "
                "images are paired by name, so move one of them away"
            )
    if not found:
        raise ImageError(_EMPTY.format(folder))
    return dict(sorted(found.items()))


def images_below(folder: Path) -> list[Path]:
    """The images of a folder and its sub-folders, sorted; hidden files and folders are skipped, links not followed.

    A folder named as an image is among them, so that whoever reads it names it.

    Raises ImageError for a missing folder, one without images, or one that cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise ImageError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")

    _require_folder(folder)
    found = []
    for here, below, names in os.walk(folder, onerror=fail):
        below[:] = [name for name in below if not name.startswith(".")]
        found += [path for path in (Path(here, name) for name in below + names) if is_image(path)]
    if not found:
        raise ImageError(_EMPTY.format(folder))
    return sorted(found)


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "missing"
        raise ImageError(f"{folder}: {kind}, not a folder of images; check the path")


def image_files(folder: Path) -> list[Path]:
    """The files of a folder that look like images, sorted, perhaps none. Raises ImageError if it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if is_image(path))
    except OSError as error:
        raise ImageError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
