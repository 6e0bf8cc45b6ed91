"""Decode image files strictly: a damaged or truncated file is an error."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from threading import Lock

from PIL import Image, ImageFile

FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, AttributeError),
    *(struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""Errors that Pillow raises, or may raise, for damaged files; most of them for damaged EXIF."""

_lock, _decoding, _setting = Lock(), 0, False


def decoded(content: bytes) -> Image.Image:
    """Decode all pixels of an image file.

    Raises UnidentifiedImageError for what is no image, and one of FAULTS for a damaged or truncated file.
    """
    with _strictly():
        image = Image.open(BytesIO(content))
        image.load()
    if image.format == "PNG":
        _require_rows(content, image)
    return image


@contextmanager
def _strictly() -> Iterator[None]:
    """Make Pillow refuse truncated files while any thread decodes one, and then restore the process-wide setting."""
    global _decoding, _setting
    with _lock:
        if not _decoding:
            _setting, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        _decoding += 1
    try:
        yield
    finally:
        with _lock:
            _decoding -= 1
            if not _decoding:
                ImageFile.LOAD_TRUNCATED_IMAGES = _setting


_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column, and steps, of the passes of an interlaced PNG (its specification, section 8.2)."""


def _require_rows(content: bytes, image: Image.Image) -> None:
    """Raise OSError if a complete stream holds fewer rows than the PNG states: Pillow leaves the others black.

    Rows are counted only if the last one is black.
    """
    width, height = image.size
    depth, colour, interlaced = content[24], content[25], content[28]
    if not interlaced and any(image.crop((0, height - 1, width, height)).tobytes()):
        return
    lines = [
        (len(range(row, height, down)), len(range(column, width, right)))
        for row, column, down, right in (_PASSES if interlaced else ((0, 0, 1, 1),))
    ]
    wanted = sum(rows * (1 + (pixels * depth * _CHANNELS[colour] + 7) // 8) for rows, pixels in lines if pixels)
    stream, found, place = zlib.decompressobj(), 0, 8
    while place + 8 <= len(content) and found < wanted:
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind == b"IDAT":
            found += len(stream.decompress(content[place + 8 : place + 8 + length], wanted))
        place += length + 12
    if found < wanted:
        raise OSError("image file has fewer rows than it states")
