"""Make the training photographs of the packaged models that come in Debian packages.

python tools/debian_photographs.py data/photographs    # 246 in data/photographs/train, 12 in data/photographs/val

The other photographs of the list come from repositories on GitHub, each at a stated commit. They were reduced and
compressed once more before the training, so they cannot be made again pixel for pixel.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from srbench.images.decoding import FORMATS
from srbench.images.io import pixels_sha256, write_png
from srbench.terminal.output import say
from srbench.terminal.progress import progress

LIST = Path(__file__).with_name("training-photographs.csv")
"""Columns: file, source (a Debian package or a repository on GitHub), commit of a repository, path in it, downscaling
factor, licence, author, sha256 of the pixels, perceptual hash."""


def photographs() -> list[dict[str, str]]:
    """Read the list: 1,709 training and 36 validation photographs, each a dictionary by column."""
    return list(csv.DictReader(LIST.read_text(encoding="utf-8").splitlines()))


def make_photographs(out: Path) -> None:
    """Download 17 Debian packages (351 MB) and make out/train and out/val from them, pixel for pixel as listed.

    The packages, some of which also contain benchmark photographs, are removed at the end. Needs ``apt-get`` and
    ``dpkg`` of Debian 13. Exits with a message if they or a package are missing and, after everything is written, if an
    image differs from the list.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise SystemExit(
            f"the photographs come in Debian packages, but apt-get or dpkg is missing; run this on Debian 13, or get "
            f"the files that {LIST} lists"
        )
    rows = [row for row in photographs() if not row["commit"]]
    packages = sorted({row["source"] for row in rows})
    work = out / ".packages"  # hidden, so that training on ``out`` cannot read the benchmark photographs
    work.mkdir(parents=True, exist_ok=True)
    say(f"downloading and unpacking {len(packages)} packages")
    _run("apt-get", "download", *packages, folder=work)
    for package in packages:
        _run("dpkg", "-x", next(work.glob(f"{package}_*.deb")).name, package, folder=work)
    different = []
    with progress() as bar:
        for row, content in bar.track(_contents(work, rows), len(rows), description="photographs"):
            with Image.open(BytesIO(content), formats=FORMATS) as file:
                image = ImageOps.exif_transpose(file).convert("RGB")
            if int(row["downscale"]) > 1:
                image = image.reduce(int(row["downscale"]))  # a box filter: removes the softness of compression
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            write_png(out / row["file"], pixels)
            if pixels_sha256(pixels) != row["sha256"]:
                different.append(row["file"])
    shutil.rmtree(work)
    if different:
        raise SystemExit(
            f"{len(different)} of {len(rows)} photographs differ from those that the packaged models were trained on, "
            f"because packages or decoders differ from Debian 13's: {', '.join(different)}"
        )


def _contents(work: Path, rows: Iterable[dict[str, str]]) -> Iterator[tuple[dict[str, str], bytes]]:
    """Yield every row with the content of its file; ``archive.rcc!/member`` is a member of a Qt resource file."""
    archive, resources = Path(), dict[str, bytes]()
    for row in rows:
        name, _, member = row["path"].partition("!")
        path = work / row["source"] / name.lstrip("/")
        if not path.is_file():
            raise SystemExit(f"{row['source']}: no {name} in this version of the package; run it on Debian 13")
        if member and path != archive:
            archive, resources = path, read_resources(path.read_bytes())
        yield row, resources[member] if member else path.read_bytes()


def _run(*command: str, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SystemExit(f"{' '.join(command[:2])} failed: {reason}; run apt-get update first, on Debian 13")


def read_resources(content: bytes) -> dict[str, bytes]:
    """Read a Qt resource file of version 1 to 3, uncompressed or compressed by zlib: content of its files by path.

    The format is that of Qt's ``qresource.cpp``, big-endian, with a header of offsets of tree, data and names.
    """
    version, tree, data, names = struct.unpack_from(">IIII", content, 4)
    node_size = 14 if version == 1 else 22

    def name(offset: int) -> str:
        (length,) = struct.unpack_from(">H", content, names + offset)
        return content[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")

    def walk(index: int, folder: str) -> dict[str, bytes]:
        node = tree + index * node_size
        offset, flags = struct.unpack_from(">IH", content, node)
        path = f"{folder}/{name(offset)}" if index else ""
        if flags & 2:  # a folder
            count, first = struct.unpack_from(">II", content, node + 6)
            return {key: file for child in range(first, first + count) for key, file in walk(child, path).items()}
        start = data + struct.unpack_from(">I", content, node + 10)[0]
        (length,) = struct.unpack_from(">I", content, start)
        body = content[start + 4 : start + 4 + length]
        return {path: zlib.decompress(body[4:]) if flags & 1 else body}

    return walk(0, "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for train and val")
    make_photographs(parser.parse_args().out)
