"""Odd image files: each gives an image, or an error in one line."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image, features

from srbench.images import ImageError
from srbench.images.io import header_size, quantize_round, read_image, read_uint8

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
PHOTO = Image.fromarray(COLOURS)
GREY = PHOTO.convert("L")
WHITE = "/{}: transparent pixels are composited over white, here and in other images of the folder"
FIRST = "/{}: has 2 pages or frames; only the first is read"


def coded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pages(format, **options):
    return coded(PHOTO, format, save_all=True, append_images=[Image.new("RGB", (9, 6))], **options)


def one_bit(image):
    return image.convert("1", dither=Image.Dither.NONE)


WHOLE = coded(PHOTO, "PNG")
READ = {
    "1x1.png": (coded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG"), np.array([[[1, 2, 3]]]), ""),
    "high.png": (coded(PHOTO.resize((8, 4000), Image.Resampling.NEAREST), "PNG"), (4000, 8, 3), ""),
    "wide.png": (coded(PHOTO.resize((4000, 8), Image.Resampling.NEAREST), "PNG"), (8, 4000, 3), ""),
    "grey.png": (coded(GREY, "PNG"), GREY, ""),
    "palette.png": (coded(PHOTO.quantize(16), "PNG"), PHOTO.quantize(16), ""),
    "grey.jpg": (coded(GREY, "JPEG"), (6, 9, 3), ""),
    "clear-palette.png": (coded(PHOTO.quantize(8), "PNG", transparency=0), (6, 9, 3), WHITE),
    "1-bit.png": (coded(one_bit(GREY), "PNG"), one_bit(GREY), ""),
    "1-bit.tif": (coded(one_bit(GREY), "TIFF", compression="group4"), one_bit(GREY), ""),
    "1-bit.bmp": (coded(one_bit(GREY), "BMP"), one_bit(GREY), ""),
    "LA.png": (coded(GREY.convert("LA"), "PNG"), GREY, ""),
    "RGBA.webp": (coded(PHOTO.convert("RGBA"), "WEBP", lossless=True), PHOTO, ""),
    "half.webp": (
        coded(Image.new("RGBA", (9, 6), (7, 8, 9, 99)), "WEBP", lossless=True, exact=True),
        Image.new("RGB", (9, 6), (159, 159, 159)),
        WHITE,
    ),
    "I16.tif": (coded(Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 257), "TIFF"), COLOURS[..., :1], ""),
    "YCbCr.tif": (coded(PHOTO.convert("YCbCr"), "TIFF"), PHOTO.convert("YCbCr"), ""),
    "LAB.tif": (coded(PHOTO.convert("LAB"), "TIFF"), (6, 9, 3), ""),
    "jpeg.png": (coded(PHOTO, "JPEG"), Image.open(io.BytesIO(coded(PHOTO, "JPEG"))), ""),
    "png.jpg": (WHOLE, PHOTO, ""),
    "more.png": (WHOLE + bytes(100), PHOTO, ""),
    "animated.png": (pages("PNG"), PHOTO, FIRST),
    "animated.webp": (pages("WEBP", lossless=True), PHOTO, FIRST),
    "pages.tif": (pages("TIFF"), PHOTO, FIRST),
    "several.jpg": (pages("MPO"), (6, 9, 3), ""),
}
"""Bytes, the image that they hold or its shape, and the only warning."""
OTHERS = "not an image in PNG, JPEG, WebP, TIFF or BMP format; convert or replace it"
REFUSED = {
    "nothing.png": (b"", OTHERS),
    "zeros.png": (bytes(999), OTHERS),
    "eps.png": (coded(PHOTO, "EPS"), OTHERS),
    "gif.png": (coded(PHOTO, "GIF"), OTHERS),
    "ico.png": (coded(PHOTO, "ICO"), OTHERS),
    "ppm.png": (coded(PHOTO, "PPM"), OTHERS),
    "jpeg2000.png": (coded(PHOTO, "JPEG2000"), OTHERS),
    "psd.png": (b"8BPS" + bytes(99), OTHERS),
    "cmyk.jpg": (coded(PHOTO.convert("CMYK"), "JPEG"), "a CMYK image"),
    "F.tif": (coded(GREY.convert("F"), "TIFF"), "32 bits per channel in mode"),
    "negative.tif": (coded(Image.new("I", (9, 6), -7), "TIFF"), "32 bits per channel in mode"),
    "truncated.png": (WHOLE[:-30], "damaged image"),
    "truncated.jpg": (coded(PHOTO, "JPEG")[:-30], "damaged image"),
    "truncated.webp": (coded(PHOTO, "WEBP")[:-30], "(damaged image|not an image)"),
    "huge.png": (WHOLE[:16] + b"\0\0\xff\xff\0\0\xff\xff" + WHOLE[24:], "(damaged image|not an image)"),
    "huge.bmp": (
        coded(PHOTO, "BMP")[:18] + b"\0\0\1\0\0\0\1\0" + coded(PHOTO, "BMP")[26:],
        "more than 179 million pixels",
    ),
}
if features.check("avif"):
    REFUSED["avif.png"] = (coded(PHOTO, "AVIF"), OTHERS)


@pytest.mark.parametrize("name", READ)
def test_an_odd_file_that_is_an_image(tmp_path, name):
    content, holds, says = READ[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_image, read_uint8):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            image = read(path)
        told = [f"{tmp_path}{says.format(name)}"] if says else []
        assert [str(one.message) for one in said] == ([] if says == WHITE and read is read_uint8 else told)
        small = image if read is read_uint8 else quantize_round(image)
        pixels = small.permute(1, 2, 0).numpy()
        if isinstance(holds, tuple):
            assert pixels.shape == holds
        else:
            exact = np.asarray(holds.convert("RGB")) if isinstance(holds, Image.Image) else holds
            assert np.array_equal(pixels, np.broadcast_to(exact, pixels.shape))
    assert header_size(path) == image.shape[:0:-1]


@pytest.mark.parametrize("name", REFUSED)
def test_an_odd_file_that_is_refused(tmp_path, name):
    content, says = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_image, read_uint8):
        with pytest.raises(ImageError, match=rf"{name}: {says}") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_no_other_program_is_started(tmp_path, monkeypatch):
    """Pillow knows EPS by its contents, and starts ``gs`` from PATH."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    path = tmp_path / "a.png"
    path.write_bytes(coded(PHOTO, "EPS"))
    assert header_size(path) == (0, 0)
    with pytest.raises(ImageError, match=OTHERS):
        read_image(path)
    assert not (tmp_path / "started").exists()
