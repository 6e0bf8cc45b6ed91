"""Images of more than 8 bits a channel. Pillow keeps all bits of grey ones only, and OpenCV reads the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from srbench.images import ImageError
from srbench.images.colour import foreign_profile, over_white

_SAVE = "save it with 8 or 16 bits a channel, as RGB or grey"
_CONVERT = "convert it to sRGB with all its bits, in a program that does so"
_BITS, _WHITE_IS_ZERO = ExifTags.Base.BitsPerSample, (ExifTags.Base.PhotometricInterpretation, 0)


def wide_pixels(content: bytes, image: Image.Image) -> tuple[NDArray[np.uint16], bool] | None:
    """16-bit values of a file and its decoded image, (h, w) or (h, w, 3), and whether some are transparent.

    These are over white. None if 8 bits hold the values. EXIF orientation is not applied. Raises ImageError for values
    that are not read exactly, among them those of a profile other than sRGB, which would be converted with 8 bits.
    """
    bits = _bits(content, image)
    if image.mode.startswith("I") or image.mode == "F":
        pixels, alpha = _grey(image, bits), None
    elif bits <= 8:
        return None
    else:
        pixels, alpha = _colours(content, image, bits)
    if profile := foreign_profile(image):
        raise ImageError(f"{bits} bits a channel with the colour profile {profile.name}; {_CONVERT}")
    if alpha is None and (key := image.info.get("transparency")) is not None:
        alpha = np.where((np.atleast_3d(pixels) == key).all(-1), 0, 65535).astype(np.uint16)
    if alpha is None or alpha.min(initial=65535) == 65535:
        return pixels, False
    return over_white(pixels, alpha), True


def _colours(content: bytes, image: Image.Image, bits: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None]:
    """Values (h, w, 3) and alpha (h, w), if there is one."""
    found = _by_opencv(content) if image.mode in ("RGB", "RGBA") else None
    # An independent decoder must have seen the same image: channels in order, sides turned or not as TIFF states.
    high = np.asarray(image)[..., :3]
    if found is None or found[..., :3].shape != high.shape or not np.array_equal(found[..., :3] >> 8, high):
        raise ImageError(f"{bits} bits a channel in an unsupported format (mode {image.mode}); {_SAVE}")
    alpha = found[..., 3] if found.shape[-1] == 4 and image.mode == "RGBA" else None
    return np.ascontiguousarray(found[..., :3]), alpha


def turned(pixels: NDArray[np.uint16], image: Image.Image) -> NDArray[np.uint16]:
    """The values with the EXIF orientation of ``image`` applied."""
    key = ExifTags.Base.Orientation
    if image.getexif().get(key, 1) == 1:
        return pixels
    planes = []
    for plane in np.atleast_3d(pixels).transpose(2, 0, 1):
        one = Image.fromarray(np.ascontiguousarray(plane))
        one.getexif()[key] = image.getexif()[key]
        planes.append(np.asarray(ImageOps.exif_transpose(one)))
    return np.stack(planes, -1) if pixels.ndim == 3 else planes[0]


def _bits(content: bytes, image: Image.Image) -> int:
    if image.format == "PNG":
        return content[24]
    tags = getattr(image, "tag_v2", {})  # of TIFF
    bits = max(tags.get(_BITS, (8,)))
    if bits > 8 and tags.get(_WHITE_IS_ZERO[0]) == _WHITE_IS_ZERO[1]:
        raise ImageError(f"{bits} bits of grey with 0 for white; {_SAVE}")
    return int(bits)


def _grey(image: Image.Image, bits: int) -> NDArray[np.uint16]:
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.max(initial=0) > 65535 or pixels.min(initial=0) < 0:
        raise ImageError(f"values outside 16 bits (mode {image.mode}); {_SAVE}")
    if 8 < bits < 16:
        raise ImageError(f"{bits} bits a channel; {_SAVE}")
    return pixels.astype(np.uint16)


def _by_opencv(content: bytes) -> NDArray[np.uint16] | None:
    import cv2

    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    return pixels[..., [2, 1, 0, 3][: pixels.shape[-1]]].astype(np.uint16, copy=False)
