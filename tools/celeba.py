"""Make CelebA as in SRFlow's training: faces aligned by landmarks, cropped and downscaled to 160x160.

python tools/celeba.py downloads data/celeba    # train (162,770), val (19,867) and test (19,962) in data/celeba

The first folder has ``img_celeba``, unpacked from img_celeba.7z.001 to .014 of CelebA's page, and annotations.zip from
the links of HD-CelebA-Cropper. Existing images are kept.

Follows SRFlow's README: HD-CelebA-Cropper on the original ("in the wild") images with crops of 640, bicubic
interpolation, face factor 0.6 and JPEG files of quality 95 (its default); then MATLAB's bicubic by a factor of 4. The
splits are CelebA's own (list_eval_partition.txt), three ranges of numbers.
"""

from __future__ import annotations

import argparse
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.images import ImageError
from srbench.images.io import read_uint8, write_png
from srbench.images.resize import downscale_uint8
from srbench.terminal.progress import progress

WHERE = "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (for noncommercial research only)"
CROPPER = "https://github.com/LynnHo/HD-CelebA-Cropper"
SPLITS = {"train": range(1, 162771), "val": range(162771, 182638), "test": range(182638, 202600)}

_SIDE = 640
_FACE_FACTOR = 0.6
_MOVED = (0.0, 0.25)
"""Shift of the standard landmarks to the right and down, which centres the face; the cropper's default."""
_JPEG_QUALITY = 95


def make_celeba(source: Path, out: Path) -> None:
    """Make PNG images of 160x160 in out/train, out/val and out/test.
    Exits with a message for missing or damaged files.
    """
    folder = source / "img_celeba"
    if not folder.is_dir():
        raise SystemExit(
            f"{folder}: no such folder; get img_celeba.7z from {WHERE} and run 7z x img_celeba.7z.001 there"
        )
    landmarks, standard = _landmarks(source / "annotations.zip")
    missing = [name for name in landmarks if not (folder / name).is_file()]
    if missing:
        lacks = f"lacks {len(missing)} of {len(landmarks)} images, first {missing[0]}"
        raise SystemExit(f"{folder}: {lacks}; unpack it again")

    def make(name: str) -> None:
        number = int(Path(name).stem)
        (split,) = (split for split, numbers in SPLITS.items() if number in numbers)
        target = out / split / f"{number:06}.png"
        if not target.exists():
            write_png(target, aligned(read_uint8(folder / name), landmarks[name], standard))

    try:
        with progress() as bar, ThreadPoolExecutor() as pool:
            for _ in bar.track(pool.map(make, landmarks), len(landmarks), description="CelebA"):
                pass
    except ImageError as error:
        raise SystemExit(str(error)) from None


def aligned(image: Tensor, landmarks: NDArray[np.float64], standard: NDArray[np.float64]) -> Tensor:
    """Align a face (3, h, w) uint8 to (3, 160, 160) uint8, by the similarity that maps its landmarks to the standard.

    Both are (68, 2), x and y: the face's landmarks in pixels, the standard landmarks in units of the face.
    """
    target = (standard + _MOVED) * _SIDE * _FACE_FACTOR + _SIDE // 2
    turned = cv2.warpAffine(
        image.permute(1, 2, 0).numpy(),
        similarity(target, landmarks),
        (_SIDE, _SIDE),
        flags=cv2.WARP_INVERSE_MAP | cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    _, file = cv2.imencode(".jpg", turned[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    crop = cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert crop is not None, "just encoded"
    return downscale_uint8(torch.from_numpy(crop[..., ::-1].copy()).permute(2, 0, 1), _SIDE // 160)


def similarity(points: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit the similarity (2, 3) that maps ``points`` (n, 2) to ``to`` (n, 2), by least squares.

    In complex numbers it is z -> factor z + shift, linear in factor and shift.
    """
    plane, target = (each[:, 0] + 1j * each[:, 1] for each in (points, to))
    factor, shift = np.linalg.lstsq(np.stack([plane, np.ones_like(plane)], 1), target, rcond=None)[0]
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def _landmarks(archive: Path) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Read the 68 landmarks of every image by name, and those of the standard face."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            texts = {Path(name).name: name for name in zipped.namelist()}
            lines = zipped.read(texts["landmark.txt"]).decode().splitlines()
            standard = zipped.read(texts["standard_landmark_68pts.txt"]).decode().split()
        rows = {name: np.array(numbers, np.float64).reshape(68, 2) for name, *numbers in map(str.split, lines)}
        return rows, np.array(standard, np.float64).reshape(68, 2)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"not the expected file ({error})"
        raise SystemExit(f"{archive}: {reason}; download it from the links of {CROPPER}") from None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with img_celeba and annotations.zip")
    parser.add_argument("out", type=Path, help="folder for train, val and test")
    arguments = parser.parse_args()
    make_celeba(arguments.source, arguments.out)
