"""Decoding of image files to sRGB pixels over white. Files that cannot be decoded exactly are refused.

Truncated files are checked for explicitly: Pillow reads a PNG without its last bytes, and a JPEG without its end
marker, without an error.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from srbench.images import ImageError
from srbench.words import one_line, printable

if TYPE_CHECKING:  # LittleCMS is loaded only for files with a colour profile
    from PIL.ImageCms import ImageCmsTransform

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Supported formats. Without this list, Pillow would detect dozens of formats by their contents, regardless of the file
extension, and run Ghostscript for EPS."""

BACKGROUND = "white"
"""Colour behind transparent pixels."""

SAME = 2
"""Largest change of a colour, in levels, by a profile that counts as sRGB: compact profiles have rounded tables."""

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
"""A JPEG marker other than stuffed bytes in the pixel data and restart markers."""
_SOI, _EOI = 0xD8, 0xD9

_AS_SRGB = "convert it to sRGB, or remove the profile if the pixels are sRGB"
_LONGEST_NAME = 60
_MODES = {"RGB": "RGB", "GRAY": "L"}
"""Pillow's name of the pixels, by the colour space of a profile that can be converted."""
_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}
"""By EXIF orientation: whether the image is mirrored, and the number of quarter turns to the left after that."""
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""The opposite byte order, by big-endian, little-endian and native order in Pillow's mode names."""


class Decoded(NamedTuple):
    """An image in sRGB, over BACKGROUND."""

    pixels: NDArray[np.uint8 | np.uint16]
    """(h, w, 3)."""
    profile: str
    """Name of the colour profile that was converted; empty if none was."""
    is_transparent: bool
    """True if some pixels were transparent."""
    pages: int
    """Number of pages or frames in the file, the first of which was decoded; previews in a JPEG do not count."""


def decode(content: bytes) -> Decoded:
    """Decode the bytes of a PNG, JPEG, WebP, TIFF or BMP, applying its EXIF orientation.

    Colours are converted to sRGB by the ICC profile, if there is one, with the perceptual intent, as
    ``ImageCms.profileToProfile`` does. Pixels with an sRGB profile, whatever its name, are unchanged. Other colour
    information (gAMA, cHRM and cICP of PNG, EXIF) is ignored, as in most programs.

    Raises ImageError for files that are damaged, truncated or cannot be read exactly: CMYK images, profiles whose
    channels differ from the pixels', and images of more than 8 bits per channel unless they have 16 bits, no
    transparent pixels and no profile other than sRGB.
    """
    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
        pages = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
        image.load()
        _require_end(content, image.format)
        pixels: NDArray[np.uint8 | np.uint16]
        if (bits := _bits(content, image)) > 8:
            pixels, profile, is_transparent = _wide(content, image, bits), "", False
        else:
            pixels, profile, is_transparent = _shown(image)
        mirrored, turns = _turns(image)
        upright = np.rot90(pixels[:, ::-1] if mirrored else pixels, turns)
        return Decoded(upright, profile, is_transparent, pages)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError("not an image in PNG, JPEG, WebP, TIFF or BMP format; convert or replace it") from None
    except Image.DecompressionBombError:
        raise ImageError(too_many_pixels()) from None
    except Exception as error:  # Pillow raises a dozen types of errors for damaged files, most of them for damaged EXIF
        raise ImageError(f"damaged image ({one_line(error)}); replace the file") from None


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height that ``decode`` gives an opened image, from its header alone."""
    # Pillow has turned the size of a TIFF, and would decode a PNG to look for an orientation after its pixels.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return image.size
    return image.size[::-1] if _turns(image)[1] % 2 else image.size


def _turns(image: Image.Image) -> tuple[bool, int]:
    """The entry of _TURNS for the EXIF orientation of an image."""
    return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1), (False, 0))


def too_many_pixels() -> str:
    """Message for an image that may be a decompression bomb."""
    return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels, the limit; cut it into parts"


def _require_end(content: bytes, kind: str | None) -> None:
    """Raise OSError if a PNG or JPEG lacks its end; bytes after the end are accepted."""
    if kind == "PNG" and _PNG_END not in content:
        raise OSError("truncated: the end of the PNG is missing")
    if kind in ("JPEG", "MPO") and not _has_end_marker(content):
        raise OSError("truncated: the end marker of the JPEG is missing")


def _has_end_marker(content: bytes) -> bool:
    """Return whether the first image of a JPEG has an end marker;
    the end marker of an embedded preview does not count.
    """
    position = 0
    while marker := _MARKER.search(content, position):
        position = marker.end()
        if marker[1][0] == _EOI:
            return True
        if marker[1][0] != _SOI:
            position += int.from_bytes(content[position : position + 2])  # length of the segment
    return False


def _bits(content: bytes, image: Image.Image) -> int:
    """Bits per channel. Raises ImageError for wide grey TIFF images in which 0 is white."""
    if image.format == "PNG":
        return content[24]
    tags = getattr(image, "tag_v2", {})  # of TIFF
    bits = int(max(tags.get(ExifTags.Base.BitsPerSample, (8,))))
    if bits > 8 and tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        raise ImageError(f"a grey image of {bits} bits in which 0 is white; save it with 0 for black")
    return bits


def _wide(content: bytes, image: Image.Image, bits: int) -> NDArray[np.uint16]:
    """Pixels (h, w, 3) of an image with 16 bits per channel."""
    pixels = None
    if bits == 16 and image.mode.startswith("I;16"):  # grey; Pillow reads only 8 bits of colour images
        pixels = np.repeat(np.asarray(image).astype(np.uint16)[..., None], 3, axis=-1)
    elif bits == 16 and (lower := _lower_bytes(content)) is not None:
        pixels = np.asarray(image).astype(np.uint16) * np.uint16(256) + lower
    if pixels is None:
        raise ImageError(f"{bits} bits per channel in mode {image.mode}; save it with 8 or 16 bits, as RGB or grey")
    if "transparency" in image.info or (pixels[..., 3:] < 65535).any():
        raise ImageError(
            "16 bits per channel with transparent pixels; put them on a background, or save it with 8 bits"
        )
    profile, to_srgb = _profile(image)
    if to_srgb:
        raise ImageError(f"16 bits per channel with the colour profile {profile}; convert it to sRGB")
    return pixels[..., :3]


def _lower_bytes(content: bytes) -> NDArray[np.uint8] | None:
    """Lower bytes of the channels of a 16-bit RGB or RGBA image; None for any other layout of the channels.

    Pillow keeps the upper byte of every channel, so decoding with the opposite byte order yields the lower byte.
    OpenCV keeps both, but it reads TIFF with separate planes wrongly, and prints a warning for each private tag.
    """
    image = Image.open(BytesIO(content), formats=FORMATS)
    tiles = []
    for tile in image.tile:
        mode, *more = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        channels, _, order = (mode or "").partition(";16")  # such as RGB;16B
        if channels not in ("RGB", "RGBX", "RGBA") or order not in _OTHER_ORDER:
            return None
        tiles.append(tile._replace(args=(f"{channels};16{_OTHER_ORDER[order]}", *more)))
    image.tile = tiles
    return np.asarray(image)


def _shown(image: Image.Image) -> tuple[NDArray[np.uint8], str, bool]:
    """Pixels of an 8-bit image, the name of the profile that was converted, and whether pixels were transparent."""
    if image.mode == "CMYK":
        raise ImageError("a CMYK image, whose colours depend on the printer; save it as RGB, in sRGB")
    profile, to_srgb = _profile(image)
    rgb = to_srgb.apply(image.convert(to_srgb.input_mode)) if to_srgb else image.convert("RGB")
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            return np.asarray(Image.composite(rgb, Image.new("RGB", rgb.size, BACKGROUND), alpha)), profile, True
    return np.asarray(rgb), profile, False


def _profile(image: Image.Image) -> tuple[str, ImageCmsTransform | None]:
    """Name of an image's colour profile and its transform to sRGB; empty and None without a profile other than sRGB.

    Raises ImageError for a profile that cannot be used.
    """
    if "icc_profile" not in image.info:
        return "", None
    content = image.info["icc_profile"]
    if not content:  # Pillow failed to unpack it
        raise ImageError(f"a damaged colour profile; {_AS_SRGB}")
    name, space, to_srgb = _opened(bytes(content))
    if space == "Lab" and image.mode == "LAB":  # Pillow itself converts Lab
        return "", None
    is_grey = image.mode in ("L", "LA", "1", "I;16")
    if image.mode == "LAB" or space not in _MODES or (space == "GRAY" and not is_grey):
        kind = "grey" if space == "GRAY" else space
        raise ImageError(f"a colour profile of {kind} ({name}) on {image.mode} pixels; {_AS_SRGB}")
    return (name, to_srgb) if to_srgb else ("", None)


@lru_cache(maxsize=8)
def _opened(content: bytes) -> tuple[str, str, ImageCmsTransform | None]:
    """Name, colour space and transform to sRGB of a profile; None for sRGB and for spaces other than RGB and grey."""
    try:
        from PIL import ImageCms

        profile = ImageCms.ImageCmsProfile(BytesIO(content))
        name = printable(one_line(ImageCms.getProfileDescription(profile)))[:_LONGEST_NAME]
        space = profile.profile.xcolor_space.strip()
        if space not in _MODES:
            return name, space, None
        conversion = profile, ImageCms.createProfile("sRGB"), _MODES[space], "RGB"
        if _keeps_colours(ImageCms.buildTransform(*conversion, ImageCms.Intent.RELATIVE_COLORIMETRIC)):
            return name, space, None
        return name, space, ImageCms.buildTransform(*conversion)
    except ImportError:
        raise ImageError(f"a colour profile, and Pillow lacks LittleCMS, which converts it; {_AS_SRGB}") from None
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as error:
        raise ImageError(f"a damaged colour profile ({one_line(error)}); {_AS_SRGB}") from None


def _keeps_colours(transform: ImageCmsTransform) -> bool:
    """Return whether the transform leaves greys and, unless it is one of greys,
    a grid of colours unchanged, up to SAME.
    """
    grid = [] if transform.input_mode == "L" else list(product(range(0, 256, 15), repeat=3))
    colours = np.array([*((level,) * 3 for level in range(256)), *grid], dtype=np.uint8)
    converted = transform.apply(Image.fromarray(colours[None]).convert(transform.input_mode))
    return bool(np.abs(np.asarray(converted).astype(int) - colours).max() <= SAME)
