"""DIV2K and Flickr2K: published archives to folders of images."""

from __future__ import annotations

import re
from pathlib import Path

from srbench.data import DataError
from srbench.files.archives import ArchiveError, opened_archive
from srbench.files.atomic import write_whole
from srbench.terminal.progress import progress

DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
FLICKR2K = "https://cv.snu.ac.kr/research/EDSR/Flickr2K.tar"


def prepare_div2k(source: Path, out: Path) -> None:
    """Extract DIV2K_train_HR.zip and DIV2K_valid_HR.zip in ``source`` to 800 images in out/train, 100 in out/val.

    Agustsson and Timofte, "NTIRE 2017 challenge on single image super-resolution: dataset and study". Existing images
    are kept. Raises DataError for an archive that is missing, damaged or incomplete.
    """
    where = f"download it from {DIV2K} (for academic research only)"
    archives = {folder: find(source, f"DIV2K_{folder}_HR.zip", where) for folder in ("train", "valid")}
    extract(archives["train"], r"DIV2K_train_HR/\d{4}\.png", 800, out / "train")
    extract(archives["valid"], r"DIV2K_valid_HR/\d{4}\.png", 100, out / "val")


def prepare_flickr2k(source: Path, out: Path) -> None:
    """Extract the 2650 HR images of Flickr2K.tar in ``source`` to out/train.

    Lim et al., "Enhanced deep residual networks for single image super-resolution" (2017). Existing images are kept.
    Raises DataError for an archive that is missing, damaged or incomplete.
    """
    archive = find(source, "Flickr2K.tar", f"download it from {FLICKR2K}")
    extract(archive, r"Flickr2K/Flickr2K_HR/\d{6}\.png", 2650, out / "train")


def find(source: Path, name: str, where: str) -> Path:
    """Return ``source`` if it is called ``name``, else ``source/name``.

    Raises DataError, which says ``where`` to get the file, if it is missing.
    """
    path = source if source.name == name else source / name
    if not path.is_file():
        raise DataError(f"{path}: no such file; {where}")
    return path


def extract(archive: Path, pattern: str, count: int, folder: Path) -> None:
    """Extract the members of a zip or tar archive whose path matches; existing files are kept.

    Raises DataError for a damaged archive, and unless exactly ``count`` members match.
    """
    extracted = 0
    try:
        with progress() as bar, opened_archive(archive) as members:
            task = bar.add_task(archive.name, total=count)
            for member in members:
                if re.fullmatch(pattern, str(member.path)):
                    target = folder / member.path.name
                    if not target.exists():
                        with member.open() as file:
                            write_whole(target, file.read())
                    extracted += 1
                    bar.advance(task)
    except ArchiveError as error:
        raise DataError(f"{archive}: damaged or incomplete ({error}); download it again") from None
    if extracted != count:
        raise DataError(f"{archive}: holds {extracted} of {count} images; download it again")
