"""Sets of benchmark images: the packaged photographs, a folder of HR images, an HR and an LR folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from srbench.data import MATLAB_BICUBIC, DataError
from srbench.data.toolkit_layouts import Layout, find_layout
from srbench.images.folders import images_in
from srbench.images.io import crop_centre, crop_to_multiple, read_uint8
from srbench.images.resize import downscale_uint8
from srbench.interfaces import Dataset, ImagePair


class Folder:
    """HR images, cropped to a multiple of the scale; LR is what MATLAB's ``imresize`` makes of them.

    With ``crop``, the central crop x crop of HR is taken first (rounded down to a multiple of the scale).
    ``files`` are the images by name; by default all of the folder.
    Raises ImageError for a folder without images, DataError for a crop below the scale.
    """

    def __init__(
        self, folder: Path, scale: int, *, crop: int | None = None, name: str | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> None:  # fmt: skip
        self.name = name or folder.resolve().name
        self.lr_origin = MATLAB_BICUBIC
        self.folder, self.scale, self.crop = folder, scale, crop
        self.files: Mapping[str, Path] = images_in(folder) if files is None else files
        _check_crop(crop, scale)

    def __len__(self) -> int:
        """How many images."""
        return len(self.files)

    def __iter__(self) -> Iterator[str]:
        """Their names, sorted."""
        return iter(self.files)

    def read(self, name: str) -> ImagePair:
        """Raises ImageError for a damaged file, DataError for an image smaller than the scale."""
        return replace(pair_of_hr(self.files[name], self.scale, self.crop), name=name)

    def digest(self, name: str) -> str:
        """Of the file's bytes, scale and crop. Raises DataError where the file cannot be read."""
        return _digest([self.files[name]], f"bicubic x{self.scale} crop {self.crop}")


class PairedFolders:
    """HR and LR images, paired by name.

    Raises ImageError for a folder without images, DataError that names every image without a partner.
    """

    trimmed = False
    """May HR be larger than LR by less than a pixel of it? Then that is cut off at the bottom and right."""

    def __init__(self, hr: Path, lr: Path, scale: int) -> None:
        self.name = hr.resolve().name
        self.lr_origin = "a folder of its own, paired by name"
        self.scale = scale
        self.hr: Mapping[str, Path] = images_in(hr)
        self.lr: Mapping[str, Path] = images_in(lr)
        _check_pairs(hr, self.hr, lr, self.lr)

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.hr)

    def __iter__(self) -> Iterator[str]:
        """Their names, sorted."""
        return iter(self.hr)

    def read(self, name: str) -> ImagePair:
        """Raises ImageError for a damaged file, DataError for sizes that do not fit."""
        hr, lr = (read_uint8(files[name]) for files in (self.hr, self.lr))
        if self.trimmed:
            hr = crop_to_multiple(hr, self.scale)
        if [side * self.scale for side in lr.shape[-2:]] != list(hr.shape[-2:]):
            raise DataError(
                f"{name}: HR of {_size(hr)} is not {self.scale} times LR of {_size(lr)}; "
                "give the scale they were made with, or crop HR to it"
            )
        return ImagePair(name, _unit(lr), _unit(hr))

    def digest(self, name: str) -> str:
        """Of both files' bytes and the scale. Raises DataError where a file cannot be read."""
        return _digest([self.hr[name], self.lr[name]], f"paired x{self.scale}")


class LaidOut(PairedFolders):
    """HR and LR of a folder as another toolkit lays it out, paired by name; HR is cropped as that toolkit crops it.

    Raises DataError that names every image without a partner.
    """

    trimmed = True

    def __init__(self, folder: Path, layout: Layout, scale: int) -> None:
        assert layout.lr is not None
        self.name = f"{folder.resolve().name} ({layout.name})"
        self.lr_origin = f"those in {layout.lr_folder}, paired by name"
        self.scale, self.hr, self.lr = scale, layout.hr, layout.lr
        _check_pairs(folder / layout.name, self.hr, folder / layout.lr_folder, self.lr)


def open_folder(folder: Path, scale: int, *, own_lr: bool = True, name: str | None = None) -> Dataset:
    """The images in a folder, or in what another toolkit has laid out there.

    LR is made of HR where the folder has none, or ``own_lr`` does not want it. ``name`` is that of a plain folder where
    its own does not do. Raises ImageError, DataError.
    """
    layout = find_layout(folder, scale)
    if layout is None:
        return Folder(folder, scale, name=name)
    if layout.lr is None or not own_lr:
        return Folder(folder, scale, name=f"{folder.resolve().name} ({layout.name})", files=layout.hr)
    return LaidOut(folder, layout, scale)


class Cropped:
    """The centre of every pair of a dataset: HR crop x crop, LR the same part of the image."""

    def __init__(self, whole: Dataset, scale: int, crop: int) -> None:
        _check_crop(crop, scale)
        self.name, self.whole, self.scale, self.crop = whole.name, whole, scale, crop
        self.lr_origin = lr_origin(whole)

    def __len__(self) -> int:
        """How many images."""
        return len(self.whole)

    def __iter__(self) -> Iterator[str]:
        """Their names, in order."""
        return iter(self.whole)

    def read(self, name: str) -> ImagePair:
        """Raises what the whole dataset raises."""
        pair, side = self.whole.read(name), self.crop // self.scale
        height, width = pair.lr.shape[-2:]
        # Cut in LR pixels: then HR and LR show the same part, whatever the parity of the sizes.
        top, left = max(height - side, 0) // 2 * self.scale, max(width - side, 0) // 2 * self.scale
        hr = pair.hr[:, top : top + side * self.scale, left : left + side * self.scale]
        return ImagePair(name, crop_centre(pair.lr, side).contiguous(), hr.contiguous())

    def digest(self, name: str) -> str:
        """Of the whole pair and the crop."""
        return hashlib.sha256(f"{self.whole.digest(name)} crop {self.crop}".encode()).hexdigest()


def pair_of_hr(path: Path, scale: int, crop: int | None = None) -> ImagePair:
    """An HR image, cropped to a multiple of the scale, and the LR image that MATLAB's ``imresize`` makes of it.

    Raises ImageError for a damaged file, DataError for an image smaller than the scale.
    """
    image = read_uint8(path, crop)
    hr = crop_to_multiple(image, scale)
    if hr.numel() == 0:
        raise DataError(f"{path}: {_size(image)} is smaller than the scale {scale}; use a larger image")
    return ImagePair(path.stem, _unit(downscale_uint8(hr, scale)), _unit(hr))


def packaged_photos(scale: int) -> Folder:
    """22 photographs that come with srbench; authors and licences in ``photos/ATTRIBUTION.md``."""
    return Folder(Path(__file__).parent / "photos", scale, name="photos")


def lr_origin(dataset: Dataset) -> str:
    """Where the LR images of a dataset come from, in words; it says so itself in ``lr_origin``."""
    return str(getattr(dataset, "lr_origin", "as the dataset gives it"))


def cropped(dataset: Dataset, scale: int, crop: int) -> Dataset:
    """The centre of every image. Where LR is made from HR, it is made from the cropped HR.

    Raises DataError for a crop below the scale.
    """
    if isinstance(dataset, Folder):
        return Folder(dataset.folder, scale, crop=crop, name=dataset.name, files=dataset.files)
    return Cropped(dataset, scale, crop)


def _check_pairs(hr: Path, hr_files: Mapping[str, Path], lr: Path, lr_files: Mapping[str, Path]) -> None:
    """Raise DataError that names every image without a partner."""
    faults = [
        f"{folder} lacks {', '.join(missing)}"
        for folder, missing in (
            (lr, [name for name in hr_files if name not in lr_files]),
            (hr, [name for name in lr_files if name not in hr_files]),
        )
        if missing
    ]
    if faults:
        raise DataError(f"HR and LR are paired by name, but {'; '.join(faults)}; add or remove images")


def _check_crop(crop: int | None, scale: int) -> None:
    if crop is not None and crop < scale:
        raise DataError(f"a crop of {crop} leaves no LR pixel at scale {scale}; crop at least {scale} pixels")


def _digest(paths: list[Path], made: str) -> str:
    digest = hashlib.sha256(made.encode())
    for path in paths:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); restore it and run again") from None
    return digest.hexdigest()


def _unit(image: Tensor) -> Tensor:
    return image.float() / 255


def _size(image: Tensor) -> str:
    return f"{image.shape[-2]}x{image.shape[-1]}"
