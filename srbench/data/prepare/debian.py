"""The photographs that the packaged models were trained on, taken again from Debian's packages."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from srbench.data import DataError
from srbench.data.prepare.qt_resources import read_resources
from srbench.images.io import pixels_sha256, write_png
from srbench.system.terminal import progress, say

LIST = files("srbench.data.prepare") / "training-photographs.csv"
"""File, package, path in it, whole-number downscaling, licence, author, sha256 of the pixels, perceptual hash."""


def photographs() -> list[dict[str, str]]:
    """The rows of the list by column: 246 training and 12 validation photographs."""
    return list(csv.DictReader(LIST.read_text(encoding="utf-8").splitlines()))


def prepare_debian_photos(out: Path) -> None:
    """Download 17 Debian packages (351 MB) and make out/train and out/val of them, pixel for pixel as listed.

    Some of these packages also hold benchmark photographs: they are not in the list, and the packages are removed in
    the end. Needs ``apt-get`` and ``dpkg`` of Debian 13. Raises DataError without them, when a package cannot be
    had, and, once all is written, when an image is not the listed one.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise DataError(
            f"the photographs come in Debian packages, and apt-get or dpkg is not here; run it on Debian 13, or fetch "
            f"what {LIST} names"
        )
    rows = photographs()
    packages = sorted({row["package"] for row in rows})
    work = out / ".packages"  # hidden, so that no training on ``out`` finds what it is not meant to see
    work.mkdir(parents=True, exist_ok=True)
    say(f"downloading and unpacking {len(packages)} packages")
    _run("apt-get", "download", *packages, folder=work)
    for package in packages:
        _run("dpkg", "-x", str(next(work.glob(f"{package}_*.deb")).name), package, folder=work)
    different = []
    with progress() as bar:
        for row, content in bar.track(_contents(work, rows), len(rows), description="photographs"):
            with Image.open(BytesIO(content)) as file:
                image = ImageOps.exif_transpose(file).convert("RGB")
            if int(row["downscale"]) > 1:
                image = image.reduce(int(row["downscale"]))  # a box filter: removes the softness of compression
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            write_png(out / row["file"], pixels)
            if pixels_sha256(pixels) != row["sha256"]:
                different.append(row["file"])
    shutil.rmtree(work)
    if different:
        raise DataError(
            f"{len(different)} of {len(rows)} photographs are not those that the packaged models were trained on, "
            f"since packages or decoders differ from Debian 13's: {', '.join(different)}"
        )


def _contents(work: Path, rows: Iterable[dict[str, str]]) -> Iterator[tuple[dict[str, str], bytes]]:
    """Every row with its file; ``archive.rcc!/member`` is a member of a Qt resource file."""
    archive, resources = Path(), dict[str, bytes]()
    for row in rows:
        name, _, member = row["path"].partition("!")
        path = work / row["package"] / name.lstrip("/")
        if not path.is_file():
            raise DataError(f"{row['package']}: no {name} in this version of the package; run it on Debian 13")
        if member and path != archive:
            archive, resources = path, read_resources(path.read_bytes())
        yield row, resources[member] if member else path.read_bytes()


def _run(*command: str, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(f"{' '.join(command[:2])} failed: {reason}; run apt-get update first, on Debian 13")
