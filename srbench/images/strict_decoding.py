"""Decode image files strictly: a damaged, truncated or unsupported file is an error."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from threading import Lock
from typing import IO

from PIL import Image, ImageFile

FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, AttributeError),
    *(struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""Errors that Pillow raises, or may raise, for damaged files; most of them for damaged EXIF."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Formats that are read. Without this list, Pillow reads dozens by their contents, whatever the ending of the file is,
and starts Ghostscript for one of them."""

_lock, _decoding, _setting = Lock(), 0, False


def decoded(content: bytes) -> tuple[Image.Image, int]:
    """Decode all pixels of the first image of a file, and count its pages or frames.

    A photograph that carries others, as JPEG does, is one page. Raises UnidentifiedImageError unless it is an
    image in one of FORMATS, and one of FAULTS for a damaged or truncated file.
    """
    with _strictly():
        image = Image.open(BytesIO(content), formats=FORMATS)
        pages = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
        image.load()
    if image.format == "PNG":
        _scale_transparent_level(content, image)
        _require_rows(content, image)
    return image, pages


def _scale_transparent_level(content: bytes, image: Image.Image) -> None:
    """Scale the transparent level of a grey PNG of 2 or 4 bits to 8 bits, as Pillow scales the pixels but not it."""
    depth, level = content[24], image.info.get("transparency")
    if image.mode == "L" and depth in (2, 4) and isinstance(level, int):
        image.info["transparency"] = level * (255 // (2**depth - 1))


def format_of(content: bytes) -> str:
    """Name of the format that a file begins like, by Pillow's list; empty if there is none. Nothing is opened."""
    Image.init()
    for name, (_, accepts) in Image.OPEN.items():
        with suppress(*FAULTS):
            if accepts is not None and accepts(content[:16]):
                return name
    return ""


def stated_size(file: IO[bytes]) -> tuple[int, int]:
    """Width and height that a file states in its header, also beyond Pillow's limit; 0 where it cannot be read.

    No pixel is decoded.
    """
    Image.init()
    start = file.read(16)
    for name in FORMATS:
        make, accepts = Image.OPEN[name]
        if accepts is not None and accepts(start) is True:
            with suppress(*FAULTS):
                file.seek(0)
                return make(file, "").size
    return 0, 0


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
