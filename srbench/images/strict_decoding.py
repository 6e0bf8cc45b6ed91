"""Decode image files strictly, whatever other libraries set in Pillow.

Pillow refuses a truncated or damaged file only while ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES`` is false. That is one
variable of the whole process, which any library may set at any time, so nothing here depends on it: a decoder that
reports a fault, or that wants more when the file has no more, is an error of its own.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, AttributeError),
    *(struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""What Pillow was seen to raise, or may raise, on damaged files; most of them where it is the EXIF that is damaged."""

_STRICT = "srbench_strict"


def decoded(content: bytes) -> Image.Image:
    """The image in the bytes of a file, with all its pixels.

    Raises UnidentifiedImageError where there is no image, and one of FAULTS for a damaged or truncated one.
    """
    file = _File(content)
    image = Image.open(file)
    # A tile says which decoder reads which part of the file. That of TIFF's compressions is strict by itself.
    image.tile = [tile if tile[0] == "libtiff" else _strict(*tile) for tile in image.tile or ()]
    file.ends = isinstance(image, JpegImageFile)  # where it tolerates that, Pillow adds the end of a truncated JPEG
    image.load()
    if image.format == "PNG":
        _require_rows(content, image)
    return image


_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column, and steps, of the passes of an interlaced PNG (its specification, section 8.2)."""


def _require_rows(content: bytes, image: Image.Image) -> None:
    """A stream that was compressed whole may hold fewer rows than the PNG states: Pillow leaves the others black.

    It is only counted where the last row is black. Raises OSError.
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


def _strict(codec: str, box: Any, offset: int, args: Any) -> Any:  # noqa: ANN401 - each codec has its own arguments
    return ImageFile._Tile(_STRICT, box, offset, (codec, args))


class _File(BytesIO):
    """The bytes of a file; on demand it is an error to read more after the last of them."""

    ends = False

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        if self.ends and not found and size:
            raise OSError("image file is truncated")
        return found


class _Decoder:
    """One of Pillow's decoders, and an error where it does not come to its end."""

    def __init__(self, mode: str, codec: str, args: Any, *extra: Any) -> None:  # noqa: ANN401 - as above
        self._decoder = Image._getdecoder(mode, codec, args, extra)
        self._finished = False
        self.pulls_fd = self._decoder.pulls_fd
        self.setfd = self._decoder.setfd
        self.setimage = self._decoder.setimage

    def decode(self, content: bytes) -> tuple[int, int]:
        used, fault = self._decoder.decode(content)
        if fault < 0:
            raise OSError("broken data stream when reading image file")
        self._finished = used < 0 or bool(self.pulls_fd)
        return used, fault

    def cleanup(self) -> None:
        self._decoder.cleanup()
        if not self._finished:
            raise OSError("image file is truncated")


_decoder: Any = _Decoder  # has what Pillow asks of a decoder, without being one of its PyDecoders
Image.register_decoder(_STRICT, _decoder)
