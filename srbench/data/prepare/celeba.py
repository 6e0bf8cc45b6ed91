"""CelebA as in SRFlow's training: faces aligned by landmarks, cropped and downscaled to 160x160.

Follows SRFlow's README: HD-CelebA-Cropper on the original ("in the wild") images with crops of 640, bicubic
interpolation, face factor 0.6 and JPEG files of quality 95 (its default); then MATLAB's bicubic by a factor of 4. The
splits are CelebA's own (list_eval_partition.txt), three ranges of numbers.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.data import DataError
from srbench.images.io import crop_centre, read_uint8, write_png
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


def prepare_celeba(source: Path, out: Path) -> None:
    """Make PNG images of 160x160 in out/train, out/val and out/test from the original images and their landmarks.

    ``source`` has the folder ``img_celeba`` (unpacked from img_celeba.7z.001 to .014) and HD-CelebA-Cropper's
    annotations.zip. Existing images are kept. Raises DataError for missing or damaged files.
    """
    folder = _unpacked(source / "img_celeba", f"get img_celeba.7z from {WHERE} and run 7z x img_celeba.7z.001 there")
    landmarks, standard = _landmarks(source / "annotations.zip")
    _each(folder, list(landmarks), out, lambda name: aligned(read_uint8(folder / name), landmarks[name], standard))


def prepare_celeba_aligned(source: Path, out: Path) -> None:
    """Make PNG images in out/train, out/val and out/test from the central 160x160 of CelebA's aligned images (178x218).

    They are easier to obtain than the images of ``prepare_celeba``, but SRFlow was not trained on them: faces are
    larger and less sharp. ``source`` has the folder ``img_align_celeba`` (from img_align_celeba.zip).
    """
    folder = _unpacked(source / "img_align_celeba", f"get img_align_celeba.zip from {WHERE} and unpack it there")
    names = [f"{number:06}.jpg" for numbers in SPLITS.values() for number in numbers]
    _each(folder, names, out, lambda name: crop_centre(read_uint8(folder / name), 160))


def aligned(image: Tensor, landmarks: NDArray[np.float64], standard: NDArray[np.float64]) -> Tensor:
    """Align a face (3, h, w) uint8 to (3, 160, 160) uint8, by the similarity that maps its landmarks to the standard.

    Both are (68, 2), x and y: the face's landmarks in pixels, the standard landmarks in units of the face.
    """
    import cv2

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


def _unpacked(folder: Path, otherwise: str) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {otherwise}")
    return folder


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
        raise DataError(f"{archive}: {reason}; download it from the links of {CROPPER}") from None


def _each(folder: Path, names: list[str], out: Path, make: Callable[[str], Tensor]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder}: lacks {len(missing)} of {len(names)} images, first {missing[0]}; unpack it again")
    with progress() as bar, ThreadPoolExecutor() as pool:
        for _ in bar.track(pool.map(partial(_write, out, make), names), len(names), description="CelebA"):
            pass


def _write(out: Path, make: Callable[[str], Tensor], name: str) -> None:
    number = int(Path(name).stem)
    (split,) = (split for split, numbers in SPLITS.items() if number in numbers)
    target = out / split / f"{number:06}.png"
    if not target.exists():
        write_png(target, make(name))
