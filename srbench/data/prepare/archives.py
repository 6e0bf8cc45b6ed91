"""DIV2K and Flickr2K: from the archives as they are published to folders of images."""

from __future__ import annotations

import errno
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from srbench.data import DataError
from srbench.images.io import write_whole
from srbench.system.terminal import progress

DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
FLICKR2K = "https://cv.snu.ac.kr/research/EDSR/Flickr2K.tar"


def prepare_div2k(source: Path, out: Path) -> None:
    """DIV2K_train_HR.zip and DIV2K_valid_HR.zip in ``source`` -> 800 images in out/train, 100 in out/val.

    Agustsson and Timofte, "NTIRE 2017 challenge on single image super-resolution: dataset and study". Images that
    are there already stay. Raises DataError for an archive that is missing, damaged or incomplete.
    """
    where = f"download it from {DIV2K} (for academic research only)"
    archives = {folder: find(source, f"DIV2K_{folder}_HR.zip", where) for folder in ("train", "valid")}
    extract(archives["train"], r"DIV2K_train_HR/\d{4}\.png", 800, out / "train")
    extract(archives["valid"], r"DIV2K_valid_HR/\d{4}\.png", 100, out / "val")


def prepare_flickr2k(source: Path, out: Path) -> None:
    """Flickr2K.tar in ``source`` -> its 2650 HR images in out/train.

    Lim et al., "Enhanced deep residual networks for single image super-resolution" (2017). Images that are there
    already stay. Raises DataError where the archive is missing, damaged or incomplete.
    """
    archive = find(source, "Flickr2K.tar", f"download it from {FLICKR2K}")
    extract(archive, r"Flickr2K/Flickr2K_HR/\d{6}\.png", 2650, out / "train")


def find(source: Path, name: str, where: str) -> Path:
    """The file ``name`` in ``source``, or ``source`` itself. Raises DataError that says where to get it."""
    path = source if source.name == name else source / name
    if not path.is_file():
        raise DataError(f"{path}: no such file; {where}")
    return path


def extract(archive: Path, pattern: str, count: int, folder: Path) -> None:
    """Write the members of a zip or tar archive whose path matches into one folder.

    Raises DataError where there are not ``count`` of them or the archive is damaged.
    """
    found = 0
    try:
        with progress() as bar:
            task = bar.add_task(archive.name, total=count)
            for member, read in _members(archive):
                if re.fullmatch(pattern, member):
                    target = folder / PurePosixPath(member).name
                    if not target.exists():
                        write_whole(target, read())
                    found += 1
                    bar.advance(task)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a full disk, for one
            raise
        raise DataError(f"{archive}: damaged, or not downloaded to the end ({error}); download it again") from None
    if found != count:
        raise DataError(f"{archive}: holds {found} of {count} images; download it again")


def _members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Path of every file in an archive and a function that reads it, in the order of the archive."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            for name in zipped.namelist():
                yield name, partial(zipped.read, name)
    else:
        with tarfile.open(archive, "r:") as tarred:
            for member in tarred:
                if member.isfile():
                    yield member.name, partial(_content, tarred, member)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None, "a file, no folder or link"
    content = file.read()
    if len(content) < member.size:
        raise EOFError("unexpected end of data")
    return content
