"""Saved images of a run folder as tensors. An image is valid only if it matches its record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from srbench.images import ImageError
from srbench.images.io import pixels_sha256, read_uint8
from srbench.interfaces import ImagePair
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.records import SampleRecord

if TYPE_CHECKING:
    from torch import Tensor


def kept_pair(folder: RunFolder, image: str) -> ImagePair | None:
    """Read a pair from the files of a run folder; None if they are missing or were changed."""
    files = folder.pair(image)
    if files is None:
        return None
    return ImagePair(image, *(read_uint8(file).float() / 255 for file in files))


def kept_outputs(folder: RunFolder, record: SampleRecord) -> Tensor | None:
    """Read the outputs of a record from their files, (n, 3, H, W) uint8; None unless all were saved and unchanged."""
    import torch

    files = folder.outputs(record)
    if len(files) < len(record.outputs):
        return None
    try:
        images = [read_uint8(file) for file in files]
    except ImageError:
        return None
    return torch.stack(images) if same_outputs(record, images) else None


def same_outputs(record: SampleRecord, images: Iterable[Tensor]) -> bool:
    """Return whether images (3, H, W) uint8 equal those of a record, pixel for pixel."""
    return [pixels_sha256(image) for image in images] == [output.pixels for output in record.outputs]
