"""Folders of images. An image's name is its file name without the extension; in a clip, after the name of its folder.

``HR/000/00000.png`` is the image ``000-00000`` of the folder ``HR``, if no image lies in ``HR`` itself.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from mimetypes import guess_type
from operator import attrgetter
from pathlib import Path, PurePath

from srbench.images import ImageError
from srbench.images.io import ENDINGS
from srbench.words import listed, printable

_SUPPORTED = f"supported are {', '.join(ENDINGS)}"
_EMPTY = f"{{}}: contains no images; {_SUPPORTED}"
_HR_OR_LR = re.compile(r"(.*[^a-z])?(hr|lr|gt)([^a-z].*|(mod|bic|x[0-9]).*)?", re.IGNORECASE | re.DOTALL)
"""Names of folders of HR or LR images, such as ``GTmod12`` and ``DIV2K_train_HR``, which are no clips."""


def is_image(path: PurePath) -> bool:
    """Return whether the file name has the extension of an image and is not hidden."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def images_in(folder: Path) -> dict[str, Path]:
    """The images of a folder by name, sorted: those in it, or if there are none, those of its subfolders, the clips.

    Hidden files and files that are no images are ignored. Images of formats that are not supported, clips without
    images, and images that share a name (``a.png``, ``a.jpg``) are left out, with a single warning for each of the
    three. Pipes, folders and broken links with the name of an image are included: reading them raises ImageError, so
    they fail like damaged images and the rest is measured.

    Raises ImageError for a missing folder, a folder without images, or subfolders of HR and LR images.
    """
    _require_folder(folder)
    for clip in [] if image_files(folder) else _subfolders(folder):
        if _HR_OR_LR.fullmatch(clip.name) and image_files(clip):
            raise ImageError(f"{_EMPTY.format(folder)}; {clip} contains some: name that folder")
    return images_by_name(folder)


def images_by_name(folder: Path) -> dict[str, Path]:
    """The same as ``images_in``, whatever the subfolders are called."""
    _require_folder(folder)
    own = image_files(folder)
    clips = {} if own else {clip: image_files(clip) for clip in _subfolders(folder)}
    paths = defaultdict(list)
    for path in own:
        paths[path.stem].append(path)
    for clip, files in clips.items():
        for path in files:
            paths[f"{clip.name}-{path.stem}"].append(path)
    images = {name: files[0] for name, files in sorted(paths.items()) if len(files) == 1}
    shared = [
        " and ".join(path.relative_to(folder).as_posix() for path in files)
        for files in paths.values()
        if len(files) > 1
    ]
    if shared:
        fault = f"{folder}: {'; '.join(shared)} share a name, by which images are paired; move one of them away"
        if not images:
            raise ImageError(fault)
        warnings.warn(printable(f"left out of {fault}"), stacklevel=3)
    if not images:
        raise ImageError(_EMPTY.format(folder))
    _warn_of_unsupported(folder, (path for within in clips or [folder] for path in within.iterdir()))
    if empty := [str(clip) for clip, files in clips.items() if not files]:
        warnings.warn(printable(f"no images in {listed(empty)}"), stacklevel=3)
    return images


def _warn_of_unsupported(folder: Path, entries: Iterable[Path]) -> None:
    """Warn of the images among some entries of a folder, or of its subfolders, whose formats are not supported."""
    names = sorted(path.relative_to(folder).as_posix() for path in entries if _is_unsupported(path))
    if names:
        warnings.warn(printable(f"left out of {folder}: {listed(names)}; {_SUPPORTED}"), stacklevel=4)


def _is_unsupported(path: Path) -> bool:
    if path.name.startswith(".") or is_image(path):
        return False
    kind, _ = guess_type(path.name)
    return kind is not None and kind.startswith("image/")


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def groups_of(images: Mapping[str, Path]) -> dict[str, str]:
    """The group of every image that lies in a clip, by the image's name; empty without clips.

    Names are those of ``images_in``, or without a suffix of the file, such as ``x4``.
    """
    return {name: path.parent.name for name, path in images.items() if not path.stem.startswith(name)}


def images_below(folder: Path) -> list[Path]:
    """The images of a folder and its subfolders, sorted; hidden files and folders are skipped, links are not followed.

    Pipes, folders and broken links with the name of an image are included, and images of formats that are not supported
    are left out with a warning, as in ``images_in``.

    Raises ImageError if a folder is missing, contains no images, or cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise ImageError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")

    _require_folder(folder)
    entries: list[Path] = []
    for here, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        entries += (Path(here, name) for name in folders + files)
    images = sorted(filter(is_image, entries))
    if not images:
        raise ImageError(_EMPTY.format(folder))
    _warn_of_unsupported(folder, entries)
    return images


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
