"""The images that weights were trained on, as weights state them.

An image is identified by the first 8 bytes of the SHA-256 of its size and pixels, decoded to 8-bit RGB and before any
cropping (``images.io.pixels_sha256``). So the format of its file does not matter, but an image that was compressed
again is another one. All images of a training are their sorted bytes, one after the other; empty bytes state nothing.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from bisect import bisect_left
from collections.abc import Iterable

_BYTES = 8
PACKAGED = "training-images.bin"
"""File with the images of the packaged weights beside it, which state none themselves."""


def images_of(hashes: Iterable[str], *known: bytes) -> bytes:
    """Unite images, by the hexadecimal SHA-256 of their pixels, and the images of earlier trainings."""
    parts = {bytes.fromhex(sha256)[:_BYTES] for sha256 in hashes}
    parts |= {images[at : at + _BYTES] for images in known for at in range(0, len(images), _BYTES)}
    return b"".join(sorted(parts))


def is_among(pixels: str, images: bytes) -> bool:
    """Return whether an image, by the hexadecimal SHA-256 of its pixels, is one of these images."""

    def of(place: int) -> str:
        return images[_BYTES * place : _BYTES * (place + 1)].hex()

    wanted = pixels[: 2 * _BYTES]
    return of(bisect_left(range(len(images) // _BYTES), wanted, key=of)) == wanted


def to_text(images: bytes) -> str | None:
    """Encode images for the metadata of a weights file; None for none."""
    return b64encode(images).decode() or None


def from_text(text: str | None) -> bytes:
    """Decode images in the metadata of a weights file. Raises ValueError if they are damaged."""
    return b64decode(text or "", validate=True)
