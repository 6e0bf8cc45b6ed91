"""Rebuild the photographs that the packaged models were trained on: python examples/prepare_photographs.py OUT.

Downloads 17 Debian packages (351 MB) with apt-get, which has to exist, and writes OUT/train (246 pictures) and
OUT/val (12) exactly as docs/training-photographs.csv lists them. Some of these packages also hold benchmark
photographs: they are not in the list and must not be trained on.
"""

from __future__ import annotations

import csv
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

LIST = Path(__file__).parents[1] / "docs" / "training-photographs.csv"
Image.MAX_IMAGE_PIXELS = None


def main(out: Path) -> None:
    """Download, unpack, shrink, write."""
    with LIST.open(newline="") as file:
        rows = list(csv.DictReader(file))
    packages = sorted({row["package"] for row in rows})
    archives = out / "packages"
    archives.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", *packages], cwd=archives, check=True)
    for package in packages:
        archive = max(archives.glob(f"{package}_*.deb"))
        folder = out / "unpacked" / package
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg", "-x", archive, folder], check=True)
    resources: dict[Path, dict[str, bytes]] = {}
    for row in rows:
        # "archive.rcc!/member" is a member of a Qt resource file.
        name, _, member = row["path"].partition("!")
        path = out / "unpacked" / row["package"] / name.lstrip("/")
        if member and path not in resources:
            resources = {path: dict(read_resources(path.read_bytes()))}
        with Image.open(BytesIO(resources[path][member]) if member else path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")
        if int(row["downscale"]) > 1:
            picture = picture.reduce(int(row["downscale"]))  # a box filter: removes the softness of compression
        target = out / row["file"]
        target.parent.mkdir(exist_ok=True)
        picture.info.clear()
        picture.save(target)
    print(f"{len(rows)} pictures in {out}")


def read_resources(content: bytes) -> list[tuple[str, bytes]]:
    """Path and content of every file in a Qt binary resource file (versions 1 to 3; zlib or uncompressed)."""
    version, tree, data, names = struct.unpack_from(">IIII", content, 4)
    size = 14 if version == 1 else 22

    def name(offset: int) -> str:
        (length,) = struct.unpack_from(">H", content, names + offset)
        return content[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")

    def walk(index: int, folder: str) -> list[tuple[str, bytes]]:
        at = tree + index * size
        offset, flags = struct.unpack_from(">IH", content, at)
        path = f"{folder}/{name(offset)}" if index else ""
        if flags & 2:
            count, first = struct.unpack_from(">II", content, at + 6)
            return [entry for child in range(first, first + count) for entry in walk(child, path)]
        start = data + struct.unpack_from(">I", content, at + 10)[0]
        (length,) = struct.unpack_from(">I", content, start)
        body = content[start + 4 : start + 4 + length]
        return [(path, zlib.decompress(body[4:]) if flags & 1 else body)]

    return walk(0, "")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
