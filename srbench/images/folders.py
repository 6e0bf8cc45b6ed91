"""Folders of images. An image's name is its file name without the extension."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections import defaultdict
from operator import attrgetter
from pathlib import Path, PurePath

from srbench.images import ImageError
from srbench.images.io import ENDINGS

_EMPTY = f"{{}}: contains no images; supported are {', '.join(ENDINGS)}"


def is_image(path: PurePath) -> bool:
    """Return whether the file name has the extension of an image and is not hidden."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def images_in(folder: Path) -> dict[str, Path]:
    """The images of a folder by name, sorted. Hidden files and files with other extensions are ignored.

    Pipes, folders and broken links with the name of an image are included: reading them raises ImageError, so they fail
    like damaged images and the rest is measured. Images that share a name (``a.png``, ``a.jpg``) are left out with a
    single warning.

    Raises ImageError for a missing folder or a folder without images.
    """
    _require_folder(folder)
    paths = defaultdict(list)
    for path in image_files(folder):
        paths[path.stem].append(path)
    images = {name: files[0] for name, files in sorted(paths.items()) if len(files) == 1}
    if shared := [" and ".join(path.name for path in files) for files in paths.values() if len(files) > 1]:
        fault = f"{folder}: {'; '.join(shared)} share a name, by which images are paired; move one of them away"
        if not images:
            raise ImageError(fault)
        warnings.warn(f"left out of {fault}", stacklevel=3)
    if not images:
        raise ImageError(_EMPTY.format(folder) + _subfolder_with_images(folder))
    return images


def _subfolder_with_images(folder: Path) -> str:
    """Advice to name the first subfolder with images; empty if there is none."""
    for path in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        with contextlib.suppress(ImageError):
            if image_files(path):
                return f"; {path} contains some: name that folder"
    return ""


def images_below(folder: Path) -> list[Path]:
    """The images of a folder and its subfolders, sorted; hidden files and folders are skipped, links are not followed.

    Pipes, folders and broken links with the name of an image are included, as in ``images_in``.

    Raises ImageError if a folder is missing, contains no images, or cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise ImageError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")

    _require_folder(folder)
    images = []
    for here, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images += [path for path in (Path(here, name) for name in folders + files) if is_image(path)]
    if not images:
        raise ImageError(_EMPTY.format(folder))
    return sorted(images)


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "missing"
        raise ImageError(f"{folder}: {kind}, not a folder of images; check the path")


def image_files(folder: Path) -> list[Path]:
    """The entries of a folder with names of images, sorted. Raises ImageError if the folder cannot be listed."""
    try:
        return sorted((path for path in folder.iterdir() if is_image(path)), key=attrgetter("name"))
    except OSError as error:
        raise ImageError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
