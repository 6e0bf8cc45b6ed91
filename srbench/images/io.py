"""Reading, writing and quantising images. Inside srbench an image is RGB float32 in [0, 1], channels first."""

from __future__ import annotations

import hashlib
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo, putchunk

from srbench.files.atomic import write_whole
from srbench.files.paths import no_file
from srbench.images import ImageError
from srbench.images.decoding import BACKGROUND, FORMATS, decode, too_many_pixels, upright_size

if TYPE_CHECKING:  # reports are made without importing torch, which is slow
    from torch import Tensor

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Lower-case file extensions of the supported formats."""

_PNG_HEAD = 33
"""Number of bytes of a PNG's signature and first chunk."""


def read_image(path: Path) -> Tensor:
    """Read an 8-bit or 16-bit PNG, JPEG, WebP, TIFF or BMP.

    Returns (3, h, w) float32 in [0, 1]: EXIF orientation applied, grey and palette images converted to RGB, colour
    profiles converted to sRGB, transparent pixels composited over white, 16-bit values divided by 65535. Warns of
    converted profiles and transparent pixels, once per folder, and of pages after the first, which are ignored.
    Raises ImageError, naming the file, if it is missing, damaged, truncated or not a supported image.
    """
    pixels = _tensor(_decoded(path))
    return pixels.float().div_(255 if pixels.element_size() == 1 else 65535)


def read_uint8(path: Path) -> Tensor:
    """``quantize_round(read_image(path))``, (3, h, w) uint8, faster and in less memory."""
    pixels = _tensor(_decoded(path))
    return pixels if pixels.element_size() == 1 else quantize_round(pixels.float().div_(65535))


def _tensor(pixels: NDArray[np.uint8 | np.uint16]) -> Tensor:
    """(h, w, 3) -> (3, h, w), contiguous."""
    import torch

    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))


def _decoded(path: Path) -> NDArray[np.uint8 | np.uint16]:
    """Decode to sRGB over white, (h, w, 3); warns of conversions."""
    if kind := no_file(path):  # opening a pipe could block, and a device could be endless
        raise ImageError(f"{path}: {kind}, not a file; name an image")
    try:
        image = decode(path.read_bytes())
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    if image.pages > 1:
        warnings.warn(f"{path}: has {image.pages} pages or frames; only the first is read", stacklevel=3)
    if image.profile:
        _warn_once(path, f"the colour profile {image.profile} is converted to sRGB")
    if image.is_transparent:
        _warn_once(path, f"transparent pixels are composited over {BACKGROUND}")
    return image.pixels


_warned: set[tuple[Path, str]] = set()
"""Folders with the warnings already given for an image in them."""


def _warn_once(path: Path, text: str) -> None:
    """Give a warning only for the first image in each folder."""
    if (path.parent, text) not in _warned:
        _warned.add((path.parent, text))
        warnings.warn(f"{path}: {text}, here and in other images of the folder", stacklevel=5)


def pixels_sha256(image: Tensor) -> str:
    """SHA-256 of the size and RGB values of an image (3, h, w) uint8, independent of its file format."""
    size, pixels = tuple(image.shape[1:]), image.permute(1, 2, 0).contiguous().numpy()
    return hashlib.sha256(repr(size).encode() + pixels.tobytes()).hexdigest()


def write_png(path: Path, image: Tensor, recipe: str | None = None) -> None:
    """Write (3, h, w) uint8 as PNG by ``write_whole``; the recipe can be read back by ``read_recipe``."""
    write_whole(path, encode_png(image, recipe))


def encode_png(image: Tensor, recipe: str | None = None) -> bytes:
    """Encode (3, h, w) uint8 as PNG; the recipe, which states how it was made, goes into a text chunk ``srbench``."""
    return png_of(image.permute(1, 2, 0).contiguous().cpu().numpy(), recipe)


def png_of(pixels: NDArray[np.uint8], recipe: str | None = None) -> bytes:
    """Encode RGB (h, w, 3) as PNG, with the recipe in a text chunk.

    By OpenCV with a single filter: faster than Pillow at the same size.
    """
    import cv2

    filtering = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH]
    compression = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    content = cv2.imencode(".png", pixels[:, :, ::-1], [*filtering, *compression])[1].tobytes()
    if recipe is None:
        return content
    info, chunk = PngInfo(), BytesIO()
    info.add_itxt("srbench", recipe)
    for name, data, _ in info.chunks:
        putchunk(chunk, name, data)
    return content[:_PNG_HEAD] + chunk.getvalue() + content[_PNG_HEAD:]


def largest_png(pixels: int) -> float:
    """Return the largest size in bytes of a PNG file of so many pixels, that of noise, with a recipe."""
    return 3.1 * pixels + 500


def header_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as it is read, from its header; 0 if unreadable, which reading it will report."""
    try:
        return _stated_size(path)
    except ImageError:
        return 0, 0


def require_readable_size(path: Path) -> None:
    """Raise ImageError if the header states more pixels than are supported."""
    _stated_size(path)


def _stated_size(path: Path) -> tuple[int, int]:
    """Width and height from the header; 0 if it is unreadable. Raises ImageError for more pixels than are supported."""
    if no_file(path):
        return 0, 0  # opening a pipe could block
    try:
        with Image.open(path, formats=FORMATS) as image:
            return upright_size(image)
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: {too_many_pixels()}") from None
    except Exception:
        return 0, 0


def read_recipe(path: Path) -> str | None:
    """Read the recipe that ``write_png`` stored in a file; None if there is none."""
    try:
        with PngImageFile(path) as file:  # ``Image.open`` refuses large images, even though no pixels are read here
            text = file.info.get("srbench")
    except (OSError, SyntaxError, ValueError):
        return None
    return None if text is None else str(text)


def quantize_floor(images: Tensor) -> Tensor:
    """Convert to float32, clamp to [0, 1], scale to 255 and truncate to uint8, as the official SRFlow test code does.

    Images read from 8-bit files are reproduced exactly: in float32, k/255*255 is k for every k in 0..255. In half
    precision, k/255 may lie below the level k, and is then truncated to k - 1.
    """
    return images.float().clamp(0, 1).mul(255).byte()


def quantize_round(images: Tensor) -> Tensor:
    """Convert to float32, clamp to [0, 1], scale to 255 and round halves up to uint8, as MATLAB's im2uint8 does."""
    return images.float().clamp(0, 1).mul(255).add(0.5).floor().byte()


def quantize(images: Tensor, how: str) -> Tensor:
    """Quantise by ``floor`` or ``round``; a batch is quantised image by image to save memory."""
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
    """Crop (..., h, w) at the bottom and right to multiples of ``multiple``."""
    height, width = image.shape[-2:]
    return image[..., : height - height % multiple, : width - width % multiple]


def crop_centre(image: Tensor, size: int) -> Tensor:
    """Crop (..., h, w), of sides of at least ``size``, to its central ``size`` x ``size``."""
    height, width = image.shape[-2:]
    top, left = (height - size) // 2, (width - size) // 2
    return image[..., top : top + size, left : left + size]
