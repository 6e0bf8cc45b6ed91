"""Make the files of training images beside the packaged weights, which were trained before weights stated them.

python tools/packaged_training_images.py    writes training-images.bin; a test fails if it is out of date

They hold the 1,709 training photographs of training-photographs.csv, not the drawn images, whose pixels depend on the
version of Pillow and its font.
"""

from __future__ import annotations

from pathlib import Path

from debian_photographs import photographs

from srbench.weights.training_images import PACKAGED, images_of

ROOT = Path(__file__).parents[1]


def files() -> dict[Path, bytes]:
    """Return the content of every file."""
    images = images_of(row["sha256"] for row in photographs() if row["file"].startswith("train/"))
    return {ROOT / package / "weights" / PACKAGED: images for package in ("baselines", "srflow")}


if __name__ == "__main__":
    for path, content in files().items():
        path.write_bytes(content)
