"""Sets of benchmark images: packaged photographs, a folder of HR images, a folder each of HR and LR, or LR alone."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.data import MATLAB_BICUBIC, DataError
from srbench.data.toolkit_layouts import Layout, find_layout
from srbench.files.hashes import sha256_file
from srbench.images.folders import images_in
from srbench.images.io import crop_centre, crop_to_multiple, header_size, read_uint8
from srbench.images.pairing import partners, scale_of_sizes
from srbench.interfaces import Dataset, ImagePair
from srbench.words import FILE_NAME, is_file_name, size_of

if TYPE_CHECKING:
    from torch import Tensor


class _Names:
    """Length and order of a dataset, those of its files or of the dataset it is made from."""

    names: Mapping[str, Path] | Dataset

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


class Folder(_Names):
    """HR images, cropped to a multiple of the scale; MATLAB's ``imresize`` makes LR from them.

    ``crop`` takes the central crop x crop of HR first (rounded down to a multiple of the scale).
    ``files`` are the images by name; by default all of the folder.
    Raises ImageError for a folder without images, DataError for a crop below the scale.
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
        self.name = name or folder.resolve().name
        self.folder, self.scale, self.crop = folder, scale, crop
        self.files = self.names = _usable(images_in(folder) if files is None else files)
        _check_crop(crop, scale)

    def read(self, name: str) -> ImagePair:
        """Raises ImageError for a damaged file, DataError for an image smaller than the scale."""
        return replace(pair_of_hr(self.files[name], self.scale, self.crop), name=name)

    def digest(self, name: str) -> str:
        """SHA-256 of the file, the scale and the crop. Raises DataError if the file cannot be read."""
        return _digest([self.files[name]], f"bicubic x{self.scale} crop {self.crop}")


class PairedFolders(_Names):
    """HR and LR images, paired by name, in two folders or in another toolkit's ``layout`` of both.

    LR of the scale 4 may be called NAMEx4 or NAME_x4, all of the folder alike. In a layout, HR may exceed a multiple of LR by less than the scale; it is cropped as that toolkit crops it.
    Raises ImageError for a folder without images, and one that names every image without a partner.
    """

    def __init__(self, hr: Path, lr: Path, scale: int, layout: Layout | None = None) -> None:
        self.name, self.lr_origin, self.trimmed = hr.resolve().name, "a folder of its own, paired by name", False
        if layout is not None:
            self.name, self.trimmed = f"{hr.parent.resolve().name} ({layout.name})", True
            self.lr_origin = f"those in {layout.lr_folder}, paired by name"
        hr_files = _usable(images_in(hr) if layout is None else layout.hr)
        lr_files = _usable(images_in(lr) if layout is None or layout.lr is None else layout.lr)
        self.hr = self.names = hr_files
        self.lr, self.scale = partners(hr_files, hr, lr_files, lr, scale), scale

    def read(self, name: str) -> ImagePair:
        """Raises ImageError for a damaged file, DataError if the sizes do not fit."""
        hr, lr = (read_uint8(files[name]) for files in (self.hr, self.lr))
        whole = hr
        if self.trimmed:
            hr = crop_to_multiple(hr, self.scale)
        if [side * self.scale for side in lr.shape[-2:]] != list(hr.shape[-2:]):
            raise DataError(
                f"{name}: HR of {size_of(hr.shape)} is not {self.scale} times LR of {size_of(lr.shape)}; "
                "give the scale they were made with, or crop HR to it"
            )
        return ImagePair(name, _unit(lr), _unit(hr), uncropped=_uncropped(whole, hr))

    def digest(self, name: str) -> str:
        """SHA-256 of both files and the scale. Raises DataError if a file cannot be read."""
        return _digest([self.hr[name], self.lr[name]], f"paired x{self.scale}")


def scale_of_folders(hr: Path, lr: Path) -> int | None:
    """The scale of HR and LR images paired by name, by their sizes; None if no size can be read.

    Raises ImageError if images lack a partner or a whole scale, or the scales of pairs differ.
    """
    hr_files = images_in(hr)
    pairs = partners(hr_files, hr, images_in(lr), lr)
    return scale_of_sizes((name, header_size(hr_files[name]), header_size(path)) for name, path in pairs.items())


class LRFolder(_Names):
    """LR images as they are, such as a camera's, without HR.

    Raises ImageError for a folder without images.
    """

    lr_origin = "the images themselves, without HR"
    has_hr = False

    def __init__(self, folder: Path, scale: int) -> None:
        self.name, self.scale = folder.resolve().name, scale
        self.files = self.names = _usable(images_in(folder))

    def read(self, name: str) -> ImagePair:
        """Raises ImageError for a damaged file."""
        return ImagePair(name, _unit(read_uint8(self.files[name])))

    def digest(self, name: str) -> str:
        """SHA-256 of the file and the scale. Raises DataError if the file cannot be read."""
        return _digest([self.files[name]], f"LR alone x{self.scale}")


def _usable(images: Mapping[str, Path]) -> dict[str, Path]:
    """Images whose names can be those of outputs; one warning names all others. Raises DataError if none remains."""
    unusable = [str(path) for name, path in images.items() if not is_file_name(name)]
    if unusable:
        fault = f"{', '.join(unusable)}: the name cannot be {FILE_NAME}; rename it"
        if len(unusable) == len(images):
            raise DataError(fault)
        warnings.warn(f"left out: {fault}", stacklevel=3)
    return {name: path for name, path in images.items() if is_file_name(name)}


def open_folder(folder: Path, scale: int, *, own_lr: bool = True, name: str | None = None) -> Dataset:
    """The images in a folder, plain or in another toolkit's layout.

    LR is made from HR if the folder has none or ``own_lr`` is false. ``name`` replaces the name of a plain folder.
    Raises ImageError, DataError.
    """
    layout = find_layout(folder, scale)
    if layout is None:
        return Folder(folder, scale, name=name)
    if layout.lr is None or not own_lr:
        return Folder(folder, scale, name=f"{folder.resolve().name} ({layout.name})", files=layout.hr)
    return PairedFolders(folder / layout.name, folder / layout.lr_folder, scale, layout)


class Derived(_Names):
    """A dataset with pairs that ``derive`` makes from those of the ``whole`` dataset.

    ``made`` says how, and is part of every digest.
    """

    def __init__(self, whole: Dataset, derive: Callable[[ImagePair], ImagePair], made: str, lr_origin: str) -> None:
        self.name, self.lr_origin = whole.name, lr_origin
        self.whole = self.names = whole
        self.derive, self.made = derive, made

    def read(self, name: str) -> ImagePair:
        """Raises the errors of the whole dataset, and DataError."""
        return self.derive(self.whole.read(name))

    def digest(self, name: str) -> str:
        """SHA-256 of the digest of the pair in the whole dataset, and of how the pair is made from it."""
        return hashlib.sha256(f"{self.whole.digest(name)} {self.made}".encode()).hexdigest()


def pair_of_hr(path: Path, scale: int, crop: int | None = None) -> ImagePair:
    """An HR image, cropped to a multiple of the scale, and the LR image that MATLAB's ``imresize`` makes from it.

    Raises ImageError for a damaged file, DataError for an image smaller than the scale.
    """
    image = read_uint8(path)
    if crop is not None:
        image = crop_centre(image, crop)
    hr = crop_to_multiple(image, scale)
    if hr.numel() == 0:
        raise DataError(f"{path}: {size_of(image.shape)} is smaller than the scale {scale}; use a larger image")
    return replace(pair_of_pixels(path.stem, hr, scale), uncropped=_uncropped(image, hr))


def _uncropped(image: Tensor, hr: Tensor) -> tuple[int, int] | None:
    """Size of an image of which HR is a part; None if HR is the whole image."""
    return None if image.shape == hr.shape else (image.shape[-2], image.shape[-1])


def pair_of_pixels(name: str, hr: Tensor, scale: int) -> ImagePair:
    """``pair_of_hr`` of HR in memory, (3, s*h, s*w) uint8."""
    from srbench.images.resize import downscale_uint8  # imports torch

    return ImagePair(name, _unit(downscale_uint8(hr, scale)), _unit(hr))


def packaged_photos(scale: int) -> Folder:
    """22 photographs that come with srbench; authors and licences in ``photos/ATTRIBUTION.md``."""
    return Folder(Path(__file__).parent / "photos", scale, name="photos")


def lr_origin(dataset: Dataset) -> str:
    """Origin of a dataset's LR images in words, from its attribute ``lr_origin``."""
    return str(getattr(dataset, "lr_origin", "as the dataset gives it"))


def has_hr(dataset: Dataset) -> bool:
    """True unless a dataset says that it has no HR images, by its attribute ``has_hr``."""
    return bool(getattr(dataset, "has_hr", True))


def cropped(dataset: Dataset, scale: int, crop: int) -> Dataset:
    """The centre of every image; if LR is made from HR, it is made from the cropped HR.

    Raises DataError for a crop below the scale.
    """
    if isinstance(dataset, Folder):
        return Folder(dataset.folder, scale, crop=crop, name=dataset.name, files=dataset.files)
    _check_crop(crop, scale)
    return Derived(dataset, partial(_centre, scale, crop // scale), f"crop {crop}", lr_origin(dataset))


def _centre(scale: int, side: int, pair: ImagePair) -> ImagePair:
    """Crop in whole LR pixels, so that HR and LR show the same part also for odd sizes."""
    top, left = (max(length - side, 0) // 2 * scale for length in pair.lr.shape[-2:])
    hr = pair.hr[:, top : top + side * scale, left : left + side * scale]
    return replace(pair, lr=crop_centre(pair.lr, side).contiguous(), hr=hr.contiguous())


def _check_crop(crop: int | None, scale: int) -> None:
    if crop is not None and crop < scale:
        raise DataError(f"a crop of {crop} leaves no LR pixel at scale {scale}; crop at least {scale} pixels")


def _digest(paths: list[Path], made: str) -> str:
    digest = hashlib.sha256(made.encode())
    for path in paths:
        try:
            digest.update(bytes.fromhex(sha256_file(path)))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); restore it and run again") from None
    return digest.hexdigest()


def _unit(image: Tensor) -> Tensor:
    return image.float() / 255
