from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFile

from srbench.images.strict_decoding import decoded

COLOURS = np.kron(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8), np.ones((20, 20, 1), np.uint8))
FORMATS = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG"},
    "progressive jpeg": {"format": "JPEG", "progressive": True},
    "webp": {"format": "WEBP"},
    "tiff": {"format": "TIFF"},
    "lzw tiff": {"format": "TIFF", "compression": "tiff_lzw"},
    "bmp": {"format": "BMP"},
}
every_format = pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)


@pytest.fixture(params=[False, True], ids=["strict", "tolerant"])
def tolerant(request, monkeypatch):
    """What another library may have set, for the whole process."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)
    return request.param


def encoded(options):
    buffer = BytesIO()
    Image.fromarray(COLOURS).save(buffer, **options)
    return buffer.getvalue()


@every_format
def test_a_whole_file_is_read_as_pillow_reads_it(tolerant, options):
    content = encoded(options)
    with Image.open(BytesIO(content)) as image:
        assert np.array_equal(np.asarray(decoded(content)[0]), np.asarray(image))


@every_format
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.98])
def test_a_truncated_file_is_an_error(tolerant, options, kept):
    content = encoded(options)
    with pytest.raises(OSError, match=r"."):
        decoded(content[: int(len(content) * kept)])


@pytest.mark.parametrize("name", ["png", "progressive jpeg"])
def test_what_a_decoder_cannot_read_is_an_error(tolerant, name):
    content = encoded(FORMATS[name])
    middle = len(content) // 2
    with pytest.raises(OSError, match=r"truncated|broken|unrecognized"):
        decoded(content[:middle] + b"\xff\xc4" * 100 + content[middle + 200 :])


def test_a_png_whose_pixels_end_early_is_an_error(tolerant):
    """All chunks are there, but the first has the pixels of a smaller image."""
    small = BytesIO()
    Image.fromarray(COLOURS[:50]).save(small, format="PNG")
    whole, part = encoded(FORMATS["png"]), small.getvalue()
    with pytest.raises(OSError, match=r"truncated|broken|unrecognized"):
        decoded(whole[:33] + part[33:-20])


def test_reading_leaves_the_setting_alone(tolerant):
    decoded(encoded(FORMATS["png"]))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is tolerant
