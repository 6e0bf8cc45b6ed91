"""Decode image files strictly, whatever other libraries set in Pillow.

Pillow refuses a truncated or damaged file only while ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES`` is false. That is one
variable of the whole process, which any library may set at any time, so nothing here depends on it: a decoder that
reports a fault, or that wants more when the file has no more, is an error of its own.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, AttributeError),
    struct.error,
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
    return image


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
