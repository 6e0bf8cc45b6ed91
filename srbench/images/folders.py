"""Folders of images: every image is named by its file name without the extension."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from pathlib import Path, PurePath

from srbench.images import ImageError
from srbench.images.io import ENDINGS

_EMPTY = f"{{}}: contains no images; supported are {', '.join(ENDINGS)}"


def is_image(path: PurePath) -> bool:
    """True if the file name has the ending of an image and is not hidden."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def images_in(folder: Path) -> dict[str, Path]:
    """The images of a folder by name, sorted, without hidden files and other endings.

    Pipes, folders and broken links with the name of an image are among them: reading one raises an ImageError, so it
    fails like a damaged image, and the rest is measured. Images that share a name (``a.png``, ``a.jpg``) are left out,
    with one warning that names all of them.

    Raises ImageError for a missing folder, and for one without images.
    """
    _require_folder(folder)
    paths = defaultdict(list)
    for path in image_files(folder):
        paths[path.stem].append(path)
    images = {name: found[0] for name, found in sorted(paths.items()) if len(found) == 1}
    if shared := [" and ".join(path.name for path in found) for found in paths.values() if len(found) > 1]:
        fault = f"{folder}: {'; '.join(shared)} share a name, by which images are paired; move one of them away"
        if not images:
            raise ImageError(fault)
        warnings.warn(f"left out of {fault}", stacklevel=3)
    if not images:
        raise ImageError(_EMPTY.format(folder))
    return images


def images_below(folder: Path) -> list[Path]:
    """The images of a folder and its sub-folders, sorted; hidden files and folders are skipped, links not followed.

    Pipes, folders and broken links with the name of an image are among them, as in ``images_in``.

    Raises ImageError for a missing folder, one without images, or one that cannot be listed.
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
    """The entries of a folder that look like images, sorted. Raises ImageError if it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if is_image(path))
    except OSError as error:
        raise ImageError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
