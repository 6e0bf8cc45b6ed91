"""Datasets: packaged photographs, a folder of HR images, two folders of HR and LR, or a folder of LR."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.data import MATLAB_BICUBIC, DataError
from srbench.data.toolkit_layouts import Layout, find_layout
from srbench.files.hashes import sha256_files, sha256_texts
from srbench.images.folders import groups_of, images_in
from srbench.images.io import crop_centre, crop_to_multiple, header_size, pixels_sha256, quantize_floor, read_uint8
from srbench.images.pairing import partners, require_larger_hr, scale_of_pairs
from srbench.interfaces import Dataset, ImagePair
from srbench.words import FILE_NAME, is_file_name, printable, size_of

if TYPE_CHECKING:
    from torch import Tensor


class _Names:
    """Length and order of a dataset, taken from its files or from the dataset that it is derived from."""

    names: Mapping[str, Path] | Dataset

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


class Folder(_Names):
    """A folder of HR images, cropped to a multiple of the scale, from which MATLAB's ``imresize`` makes LR.

    ``crop`` first takes the central crop x crop of HR, rounded down to a multiple of the scale. ``files`` are the
    images by name, by default all images in the folder. Raises ImageError for a folder without images, DataError for a
    crop below the scale.
    """

    lr_origin = MATLAB_BICUBIC

    def __init__(
        self,
        folder: Path,
        scale: int,
        *,
        crop: int | None = None,
        name: str | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> None:
        self.name = name or _title(folder)
        self.folder, self.scale, self.crop = folder, scale, crop
        self.files = self.names = _usable(images_in(folder) if files is None else files)
        self.groups = groups_of(self.files)
        _check_crop(crop, scale)

    def read(self, name: str) -> ImagePair:
        """Read a pair. Raises ImageError for a damaged file, DataError for an image smaller than the scale."""
        return replace(pair_of_hr(self.files[name], self.scale, self.crop), name=name)

    def digest(self, name: str) -> str:
        """Return the SHA-256 of the file, the scale and the crop. Raises SRBenchError if the file cannot be read."""
        return sha256_files([self.files[name]], f"bicubic v2 x{self.scale} crop {self.crop}")


class PairedFolders(_Names):
    """HR and LR images, paired by name, in two folders or in the ``layout`` of another toolkit.

    At scale 4, all LR images may be called NAMEx4 or all NAME_x4. HR is cropped at the bottom and right to a multiple
    of the scale. Raises ImageError for a folder without images, for images without a partner, which it names, and if
    every LR image is larger than its HR image.
    """

    def __init__(self, hr: Path, lr: Path, scale: int, layout: Layout | None = None) -> None:
        self.name, self.lr_origin = _title(hr), "from a folder, paired with HR by name"
        if layout is not None:
            self.name = f"{hr.parent.resolve().name} ({layout.name})"
            self.lr_origin = f"from {layout.lr_folder}, paired with HR by name"
        hr_files = _usable(images_in(hr) if layout is None else layout.hr)
        lr_files = _usable(images_in(lr) if layout is None or layout.lr is None else layout.lr)
        self.hr = self.names = hr_files
        self.groups = groups_of(hr_files)
        self.lr, self.scale = partners(hr_files, hr, lr_files, lr, scale), scale
        require_larger_hr((name, header_size(hr_files[name]), header_size(path)) for name, path in self.lr.items())

    def read(self, name: str) -> ImagePair:
        """Read a pair. Raises ImageError for a damaged file, DataError if the cropped HR is not the scale times LR."""
        whole, lr = (read_uint8(files[name]) for files in (self.hr, self.lr))
        hr = crop_to_multiple(whole, self.scale)
        sides = [side // self.scale for side in hr.shape[-2:]]
        if sides != list(lr.shape[-2:]):
            # MATLAB's imresize rounds sizes up
            is_larger = all(larger - side in (0, 1) for larger, side in zip(lr.shape[-2:], sides, strict=True))
            advice = (
                f"crop LR to {size_of(sides)} at the right and bottom"
                if is_larger
                else "give the scale they were made with"
            )
            raise DataError(
                f"{name}: HR of {size_of(whole.shape)} is not {self.scale} times LR of {size_of(lr.shape)}; {advice}"
            )
        return ImagePair(
            name, _unit(lr), _unit(hr), uncropped=_uncropped(whole, hr), source_sha256=_source_sha256(whole, hr)
        )

    def digest(self, name: str) -> str:
        """Return the SHA-256 of both files and the scale. Raises SRBenchError if a file cannot be read."""
        return sha256_files([self.hr[name], self.lr[name]], f"paired x{self.scale}")


def scale_of_folders(hr: Path, lr: Path) -> int | None:
    """Compute the scale from the sizes of HR and LR images paired by name; None if no size can be read.

    Raises ImageError if images lack a partner, a scale is not an integer, or the scales of pairs differ.
    """
    sizes = {name: header_size(path) for name, path in images_in(hr).items()}
    return scale_of_pairs(sizes, hr, images_in(lr), lr)


class LRFolder(_Names):
    """A folder of LR images without HR, such as a camera's.

    Raises ImageError for a folder without images.
    """

    lr_origin = "given without HR"
    has_hr = False

    def __init__(self, folder: Path, scale: int) -> None:
        self.name, self.scale = folder.resolve().name, scale
        self.files = self.names = _usable(images_in(folder))
        self.groups = groups_of(self.files)

    def read(self, name: str) -> ImagePair:
        """Read an LR image. Raises ImageError for a damaged file."""
        return ImagePair(name, _unit(read_uint8(self.files[name])))

    def digest(self, name: str) -> str:
        """Return the SHA-256 of the file and the scale. Raises SRBenchError if the file cannot be read."""
        return sha256_files([self.files[name]], f"LR alone x{self.scale}")


def _usable(images: Mapping[str, Path]) -> dict[str, Path]:
    """Drop images whose names cannot be file names of outputs, with a warning. Raises DataError if none remains."""
    unusable = [str(path) for name, path in images.items() if not is_file_name(name)]
    if unusable:
        fault = f"{', '.join(unusable)}: the name cannot be {FILE_NAME}; rename it"
        if len(unusable) == len(images):
            raise DataError(fault)
        warnings.warn(printable(f"left out: {fault}"), stacklevel=3)
    return {name: path for name, path in images.items() if is_file_name(name)}


def _title(folder: Path) -> str:
    """Return the name of a folder of HR images; one called HR or GT is named after the folder around it."""
    resolved = folder.resolve()
    return resolved.parent.name if resolved.name.upper() in ("HR", "GT") and resolved.parent.name else resolved.name


def open_folder(folder: Path, scale: int, *, own_lr: bool = True, name: str | None = None) -> Dataset:
    """Open a plain folder of images, or a folder in another toolkit's layout.

    LR is made from HR if the folder has no LR or ``own_lr`` is False. ``name`` replaces the name of a plain folder.
    Raises ImageError and DataError.
    """
    layout = find_layout(folder, scale)
    if layout is None:
        return Folder(folder, scale, name=name)
    if layout.lr is None or not own_lr:
        return Folder(folder, scale, name=f"{folder.resolve().name} ({layout.name})", files=layout.hr)
    return PairedFolders(folder / layout.name, folder / layout.lr_folder, scale, layout)


class Derived(_Names):
    """A dataset whose pairs ``derive`` makes from the pairs of the ``whole`` dataset.

    ``made`` describes how, and is part of every digest.
    """

    def __init__(self, whole: Dataset, derive: Callable[[ImagePair], ImagePair], made: str, lr_origin: str) -> None:
        self.name, self.lr_origin = whole.name, lr_origin
        self.whole = self.names = whole
        self.groups = groups(whole)
        self.derive, self.made = derive, made

    def read(self, name: str) -> ImagePair:
        """Read a pair. Raises DataError, and as the whole dataset does."""
        return self.derive(self.whole.read(name))

    def digest(self, name: str) -> str:
        """Return the SHA-256 of the pair's digest in the whole dataset and of ``made``."""
        return sha256_texts(f"{self.whole.digest(name)} {self.made}")


def pair_of_hr(path: Path, scale: int, crop: int | None = None) -> ImagePair:
    """Read an HR image, crop it to a multiple of the scale, and make LR with MATLAB's ``imresize``.

    Raises ImageError for a damaged file, DataError for an image smaller than the scale or the crop.
    """
    image = whole = read_uint8(path)
    if crop is not None:
        _require_size(str(path), image, crop)
        image = crop_centre(image, crop)
    hr = crop_to_multiple(image, scale)
    if hr.numel() == 0:
        raise DataError(f"{path}: {size_of(image.shape)} is smaller than the scale {scale}; use a larger image")
    return replace(
        pair_of_pixels(path.stem, hr, scale), uncropped=_uncropped(image, hr), source_sha256=_source_sha256(whole, hr)
    )


def _uncropped(image: Tensor, hr: Tensor) -> tuple[int, int] | None:
    """Return height and width of an image that HR was cropped from; None if HR is the whole image."""
    return None if image.shape == hr.shape else (image.shape[-2], image.shape[-1])


def _source_sha256(image: Tensor, hr: Tensor) -> str | None:
    """Return the SHA-256 of the pixels of an image that HR was cropped from; None if HR is the whole image."""
    return None if image.shape == hr.shape else pixels_sha256(image)


def pair_of_pixels(name: str, hr: Tensor, scale: int) -> ImagePair:
    """Make a pair from HR in memory, (3, s*h, s*w) uint8, with MATLAB's ``imresize``."""
    from srbench.images.resize import downscale_uint8  # imports torch

    return ImagePair(name, _unit(downscale_uint8(hr, scale)), _unit(hr))


def packaged_photos(scale: int) -> Folder:
    """22 photographs that come with srbench; authors and licences in ``photos/ATTRIBUTION.md``."""
    return Folder(Path(__file__).parent / "photos", scale, name="photos")


def lr_origin(dataset: Dataset) -> str:
    """Return the origin of a dataset's LR images in words, from its attribute ``lr_origin``."""
    return str(getattr(dataset, "lr_origin", "as the dataset gives it"))


def has_hr(dataset: Dataset) -> bool:
    """Return the attribute ``has_hr`` of a dataset, True if it has none."""
    return bool(getattr(dataset, "has_hr", True))


def groups(dataset: Dataset) -> dict[str, str]:
    """Return the attribute ``groups`` of a dataset, the group of every image in one, by name; empty if it has none."""
    return dict(getattr(dataset, "groups", {}))


def header_pixels(dataset: Dataset, name: str) -> int | None:
    """Return the number of pixels of an image before it is cropped, from the header of its HR file, or of LR without
    HR.

    None for an image that is not in the dataset, and for a dataset that is not of this file; 0 for a damaged image.
    """
    if isinstance(dataset, Derived):
        return header_pixels(dataset.whole, name)
    files = dataset.names if isinstance(dataset, _Names) else None
    return math.prod(header_size(files[name])) if isinstance(files, Mapping) and name in files else None


def cropped(dataset: Dataset, scale: int, crop: int) -> Dataset:
    """Crop every image to its centre; if LR is made from HR, it is made from the cropped HR.

    Raises DataError for a crop below the scale.
    """
    if isinstance(dataset, Folder):
        return Folder(dataset.folder, scale, crop=crop, name=dataset.name, files=dataset.files)
    _check_crop(crop, scale)
    return Derived(dataset, partial(_centre, scale, crop // scale), f"crop {crop}", lr_origin(dataset))


def _centre(scale: int, side: int, pair: ImagePair) -> ImagePair:
    """Crop a pair at LR pixels, so that HR and LR show the same part even for odd sizes.

    Raises DataError for a pair smaller than the crop.
    """
    _require_size(pair.name, pair.hr, side * scale)
    top, left = ((length - side) // 2 * scale for length in pair.lr.shape[-2:])
    hr = pair.hr[:, top : top + side * scale, left : left + side * scale]
    source = pair.source_sha256 or _source_sha256(quantize_floor(pair.hr), hr)
    return replace(pair, lr=crop_centre(pair.lr, side).contiguous(), hr=hr.contiguous(), source_sha256=source)


def _check_crop(crop: int | None, scale: int) -> None:
    if crop is not None and crop < scale:
        raise DataError(f"a crop of {crop} leaves no LR pixel at scale {scale}; crop at least {scale} pixels")


def _require_size(name: str, image: Tensor, crop: int) -> None:
    """Raise DataError for an image smaller than its crop: the run would record a crop that it does not have."""
    if min(image.shape[-2:]) < crop:
        raise DataError(f"{name}: {size_of(image.shape)} is smaller than the crop of {crop}; choose a smaller --crop")


def _unit(image: Tensor) -> Tensor:
    return image.float() / 255
