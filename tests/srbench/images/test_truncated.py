"""Truncated and damaged files are refused, also where Pillow reads them."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFile

from srbench.images import ImageError
from srbench.images.decoding import decode
from srbench.images.io import read_uint8

COLOURS = np.kron(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8), np.ones((20, 20, 1), np.uint8))


def encoded(kind, colours=COLOURS, **options):
    buffer = BytesIO()
    Image.fromarray(colours).save(buffer, kind, **options)
    return buffer.getvalue()


def with_preview(content):
    """A JPEG with another JPEG in its EXIF segment, as cameras write it."""
    preview = b"Exif\0\0" + encoded("JPEG", COLOURS[:40, :40])
    return content[:2] + b"\xff\xe1" + (len(preview) + 2).to_bytes(2) + preview + content[2:]


JPEG = encoded("JPEG")
FILES = {
    "png": encoded("PNG"),
    "jpeg": JPEG,
    "progressive jpeg": encoded("JPEG", progressive=True),
    "jpeg with a preview": with_preview(JPEG),
    "webp": encoded("WEBP"),
    "tiff": encoded("TIFF"),
    "lzw tiff": encoded("TIFF", compression="tiff_lzw"),
    "bmp": encoded("BMP"),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_whole_file_is_read_as_pillow_reads_it(content):
    with Image.open(BytesIO(content)) as image:
        assert np.array_equal(decode(content).pixels, np.asarray(image))


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_truncated_file_is_refused(content):
    for kept in (0.3, 0.6, 0.9, 0.98):
        with pytest.raises(ImageError, match=r"damaged|not an image"):
            decode(content[: int(len(content) * kept)])


@pytest.mark.parametrize("tolerant", [False, True])
def test_without_its_last_bytes(tmp_path, monkeypatch, tolerant):
    """Pillow reads most of these files, and other libraries make it read all."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    for name in ("png", "jpeg", "progressive jpeg", "jpeg with a preview"):
        for missing in (1, 2) if "jpeg" in name else (1, 4, 12):
            content = FILES[name][:-missing]
            (tmp_path / "a.png").write_bytes(content)
            with pytest.raises(ImageError, match=r"a\.png: damaged image \(.*truncated"):
                read_uint8(tmp_path / "a.png")


def test_bytes_after_the_end_are_ignored():
    """Phones append a film, which has bytes like markers of JPEG."""
    after = bytes(range(256)) * 9 + b"\xff\xda\xff\xc4"
    for name in ("png", "jpeg", "progressive jpeg", "jpeg with a preview"):
        assert np.array_equal(decode(FILES[name] + after).pixels, decode(FILES[name]).pixels)
