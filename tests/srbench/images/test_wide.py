"""Images of 16 bits a channel, written by other libraries than the one that reads them."""

import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps

from srbench.images import ImageError
from srbench.images.io import quantize_round, read_image, read_uint8

WIDE = np.random.default_rng(0).integers(0, 65536, (6, 9, 4), dtype=np.uint16)
RGB = WIDE[..., :3].copy()


def png(path, pixels, colour, *chunks):
    """A PNG of 16 bits by its specification alone."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    body = b"".join(chunk(*one) for one in chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    return path


def tiff(path, pixels, **options):
    tifffile.imwrite(path, pixels, **{"photometric": "rgb"} | options)
    return path


def expected(pixels):
    """(h, w, 3) uint16 -> (3, h, w) float32 in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float64) / 65535).permute(2, 0, 1).float()


def is_exact(path, pixels=RGB):
    image = read_image(path)
    small = read_uint8(path)
    return (
        (image.dtype, image.is_contiguous()) == (torch.float32, True)
        and torch.equal(image, expected(pixels))
        and torch.equal(small, quantize_round(image))
    )


def test_colours_of_png(tmp_path):
    assert is_exact(png(tmp_path / "a.png", RGB, 2))
    cv2 = pytest.importorskip("cv2")
    assert cv2.imwrite(str(tmp_path / "b.png"), RGB[..., ::-1])
    assert is_exact(tmp_path / "b.png")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"compression": "zlib", "byteorder": ">"},
        {"rowsperstrip": 2},
        {"tile": (16, 16)},
    ],
    ids=str,
)
def test_colours_of_tiff(tmp_path, options):
    assert is_exact(tiff(tmp_path / "a.tif", RGB, **options))


def test_every_value_is_divided_by_65535(tmp_path):
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    turned = np.stack([every, every[::-1], every.T], -1)
    assert is_exact(png(tmp_path / "a.png", every, 0), np.stack([every] * 3, -1))
    assert is_exact(png(tmp_path / "b.png", turned, 2), turned)


def test_transparent_pixels_are_refused(tmp_path):
    clear_grey = (b"tRNS", struct.pack(">H", int(WIDE[0, 0, 0])))
    clear_colour = (b"tRNS", struct.pack(">HHH", *map(int, RGB[0, 0])))
    for path in (
        png(tmp_path / "a.png", WIDE, 6),
        png(tmp_path / "c.png", WIDE[..., 0], 0, clear_grey),
        png(tmp_path / "d.png", RGB, 2, clear_colour),
        tiff(tmp_path / "e.tif", WIDE, extrasamples=["unassalpha"]),
    ):
        with pytest.raises(ImageError, match=rf"{path.name}: 16 bits per channel with transparent pixels; put them on"):
            read_uint8(path)


def test_grey_with_alpha_is_refused(tmp_path):
    with pytest.raises(
        ImageError, match=r"a\.png: 16 bits per channel in mode RGBA; save it with 8 or 16 bits, as RGB"
    ):
        read_uint8(png(tmp_path / "a.png", WIDE[..., :2], 4))


def test_an_opaque_alpha_channel_is_not_worth_a_word(tmp_path):
    path = png(tmp_path / "a.png", np.dstack([RGB, np.full((6, 9), 65535, np.uint16)]), 6)
    with warnings.catch_warnings(action="error"):
        assert is_exact(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    small = Image.fromarray(np.arange(54, dtype=np.uint8).reshape(6, 9))
    small.getexif()[0x0112] = orientation
    places = np.asarray(ImageOps.exif_transpose(small))
    turned, grey = RGB.reshape(54, 3)[places], RGB[..., 0].reshape(54)[places]
    chunk = (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    assert is_exact(png(tmp_path / "a.png", RGB, 2, chunk), turned)
    assert is_exact(png(tmp_path / "b.png", RGB[..., 0], 0, chunk), np.stack([grey] * 3, -1))
    assert is_exact(tiff(tmp_path / "a.tif", RGB, extratags=[(274, 3, 1, orientation, True)]), turned)


@pytest.mark.parametrize(
    ("pixels", "options", "says"),
    [
        (np.moveaxis(RGB, 2, 0).copy(), {"planarconfig": "separate"}, "16 bits per channel in mode RGB"),
        (WIDE, {"photometric": "separated", "extrasamples": []}, "16 bits per channel in mode CMYK"),
        (RGB[..., 0], {"photometric": "miniswhite"}, "a grey image of 16 bits in which 0 is white"),
        (RGB.astype(np.float32), {}, "32 bits per channel in mode|not an image.*"),
        (RGB[..., 0].astype(np.int16), {"photometric": "minisblack"}, "16 bits per channel in mode I"),
    ],
    ids=["planes", "CMYK", "white is zero", "floats", "signed"],
)
def test_what_would_not_be_read_exactly_is_refused(tmp_path, pixels, options, says):
    path = tiff(tmp_path / "a.tif", pixels, **options)
    for read in (read_image, read_uint8):
        with pytest.raises(ImageError, match=rf"a\.tif: ({says}); .*") as caught:
            read(path)
        assert "\n" not in str(caught.value)
