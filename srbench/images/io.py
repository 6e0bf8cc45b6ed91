"""Read, write and quantise images. Inside srbench an image is RGB float32 in [0, 1], channels first."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
import zlib
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile, PngInfo

from srbench.files.atomic import write_whole
from srbench.files.paths import no_file
from srbench.images import ImageError
from srbench.images.colour import shown, warn_of_profiles, warn_of_transparency
from srbench.images.strict_decoding import FAULTS, FORMATS, decoded, format_of, stated_size
from srbench.images.wide import turned, wide_pixels

if TYPE_CHECKING:  # reports are made without torch, which takes a second to import
    from torch import Tensor

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Lower-case endings of the formats that are read."""

PNG: dict[str, int] = {"compress_level": 4, "compress_type": zlib.Z_RLE}
"""Compression of photographs by Pillow: a third of the time of zlib's default strategy, and as small."""
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def read_image(path: Path) -> Tensor:
    """Read an 8-bit or 16-bit PNG, JPEG, WebP, TIFF or BMP.

    Returns (3, h, w) float32 in [0, 1]: EXIF orientation applied, grey and palette images converted to RGB, other
    colour profiles converted to sRGB, transparent pixels put on white, 16-bit images divided by 65535. A warning tells
    of both, once per folder, and of pages but the first, which are left out.
    Raises ImageError, naming the file, if it is missing, damaged, CMYK or no image.
    """
    pixels = _pixels(path)
    return pixels.float().div_(255 if pixels.element_size() == 1 else 65535)


def read_uint8(path: Path, crop: int | None = None) -> Tensor:
    """``quantize_round(read_image(path))``, (3, h, w) uint8, in a fraction of the time and memory.

    ``crop`` cuts as ``crop_centre`` does, before a large image of one bit becomes 24 times as large.
    """
    pixels = _pixels(path, crop)
    return pixels if pixels.element_size() == 1 else quantize_round(pixels.float().div_(65535))


def _pixels(path: Path, crop: int | None = None) -> Tensor:
    """(3, h, w) uint8 or uint16 RGB."""
    import torch

    array = _array(path, crop)
    if array.dtype == np.uint16:  # which torch does not transpose
        colours = np.broadcast_to(array[..., None], (*array.shape, 3)) if array.ndim == 2 else array
        return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _array(path: Path, crop: int | None) -> NDArray[np.uint8 | np.uint16]:
    """An image in sRGB over white, (h, w, 3), or (h, w) if grey of 16 bits, turned as EXIF says; warns of changes."""
    if kind := no_file(path):  # opening a pipe would wait forever, reading a device never end
        raise ImageError(f"{path}: {kind}, not a file; name an image")
    try:
        content = path.read_bytes()
        stored, pages = decoded(content)
        wide = wide_pixels(content, stored)
        image = ImageOps.exif_transpose(stored)
        left, top, right, bottom = _central(image, crop)
        if wide is not None:
            values, transparent = wide
            array, profile = turned(values, stored)[top:bottom, left:right], ""
        else:
            rgb, profile, transparent = shown(image if crop is None else image.crop((left, top, right, bottom)))
            array = np.array(rgb)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        other = format_of(content)
        kind = "not an image" if other in ("", *FORMATS) else f"a file of format {other}"
        raise ImageError(f"{path}: {kind}; PNG, JPEG, WebP, TIFF and BMP are read") from None
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    except FAULTS as error:
        is_bomb = isinstance(error, Image.DecompressionBombError)
        fault = _too_many_pixels() if is_bomb else f"damaged image ({error}); replace the file"
        raise ImageError(f"{path}: {fault}") from None
    if pages > 1:
        warnings.warn(f"{path}: has {pages} pages or frames, only the first is read", stacklevel=4)
    if profile:
        warn_of_profiles(path.parent)
    if transparent:
        warn_of_transparency(path.parent)
    return array


def _central(image: Image.Image, crop: int | None) -> tuple[int, int, int, int]:
    """Box of the central crop."""
    width, height = image.size
    side = max(width, height) if crop is None else crop
    left, top = max(width - side, 0) // 2, max(height - side, 0) // 2
    return left, top, min(left + side, width), min(top + side, height)


def pixels_sha256(image: Tensor) -> str:
    """SHA-256 of size and RGB values of (3, h, w) uint8, independent of the file."""
    size, pixels = tuple(image.shape[1:]), image.permute(1, 2, 0).contiguous().numpy()
    return hashlib.sha256(repr(size).encode() + pixels.tobytes()).hexdigest()


def write_png(path: Path, image: Tensor, recipe: str | None = None) -> None:
    """Write (3, h, w) uint8 as PNG by ``write_whole``; ``read_recipe`` reads the recipe back from the file."""
    write_whole(path, encode_png(image, recipe))


def encode_png(image: Tensor, recipe: str | None = None) -> bytes:
    """(3, h, w) uint8 as the bytes of a PNG, with the recipe, how it was made, in a text chunk named ``srbench``."""
    pixels = image.permute(1, 2, 0).contiguous().cpu().numpy()
    if recipe is None:
        return png_of(pixels)
    facts, buffer = PngInfo(), BytesIO()
    facts.add_itxt("srbench", recipe)
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=facts, **PNG)
    return buffer.getvalue()


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """RGB (h, w, 3) as the bytes of a PNG by OpenCV: one row filter instead of five, two thirds of Pillow's time."""
    import cv2

    setting = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    setting += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH]
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), setting)[1].tobytes()


def header_size(file: Path | IO[bytes]) -> tuple[int, int]:
    """Width and height of an image by its header; 0 if it is unreadable, which reading the image will report."""
    if isinstance(file, Path) and no_file(file):
        return 0, 0  # opening a pipe would wait for somebody to write
    try:
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
            return stated_size(stream)
    except OSError:
        return 0, 0


def require_readable_size(path: Path) -> None:
    """Raise ImageError for an image of more pixels than are read, by its header."""
    width, height = header_size(path)
    if width * height > _most_pixels():
        raise ImageError(f"{path}: {_too_many_pixels()}")


def _most_pixels() -> float:
    """Pillow's limit, beyond which an image may be a decompression bomb."""
    return math.inf if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def _too_many_pixels() -> str:
    return f"more than {_most_pixels() / 1e6:.0f} million pixels, the limit; cut it into parts"


def read_recipe(path: Path, chunk: str = "srbench") -> str | None:
    """The recipe that ``write_png`` has written into a file, or another text chunk; None for any other file."""
    try:
        with PngImageFile(path) as file:  # ``Image.open`` refuses large images, of which no pixel is read here
            found = file.info.get(chunk)
    except (OSError, SyntaxError, ValueError):
        return None
    return None if found is None else str(found)


def ends_as_png(path: Path) -> bool:
    """True for a file, no link, with the end of a PNG: not one that a power cut has emptied or torn."""
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(-len(_PNG_END), os.SEEK_END)
            return file.read() == _PNG_END and not path.is_symlink()
    except OSError:
        return False


def quantize_floor(images: Tensor) -> Tensor:
    """Clamp to [0, 1], scale to 255 and truncate -> uint8, as the official SRFlow test code writes images.

    An image that was read from 8-bit values keeps them: float32 k/255*255 is k for every k in 0..255.
    """
    return images.clamp(0, 1).mul(255).byte()


def quantize_round(images: Tensor) -> Tensor:
    """Clamp to [0, 1], scale to 255 and round halves up -> uint8: MATLAB's im2uint8."""
    return images.clamp(0, 1).mul(255).add(0.5).floor().byte()


def quantize(images: Tensor, how: str) -> Tensor:
    """Quantise by ``floor`` or ``round``, as a suite says; a batch image by image, which takes little memory."""
    single = {"floor": quantize_floor, "round": quantize_round}[how]
    if images.ndim != 4:
        return single(images)
    import torch

    return torch.stack([single(image) for image in images])


def luma(images: Tensor) -> Tensor:
    """BT.601 luma of uint8 RGB (..., 3, h, w) -> (..., h, w) uint8 in 16..235: MATLAB's rgb2ycbcr, rounded.

    16 + (65.481 R + 128.553 G + 24.966 B) / 255, computed in integers so that exact halves round up.
    """
    red, green, blue = images.int().unbind(dim=-3)
    return ((65481 * red + 128553 * green + 24966 * blue + 16_500 * 255) // 255_000).byte()


def crop_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Crop (..., h, w) at the bottom and right so that ``multiple`` divides both sides."""
    height, width = image.shape[-2:]
    return image[..., : height - height % multiple, : width - width % multiple]


def crop_centre(image: Tensor, size: int) -> Tensor:
    """Crop (..., h, w) to its central ``size`` x ``size``; a shorter side stays whole."""
    height, width = image.shape[-2:]
    top, left = max(height - size, 0) // 2, max(width - size, 0) // 2
    return image[..., top : top + size, left : left + size]
