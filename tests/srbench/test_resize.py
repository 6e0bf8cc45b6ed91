"""Bicubic resizing against an independent computation: one dense matrix a dimension, built here from the formula."""

import hashlib
import json
import math
from pathlib import Path

import pytest
import skimage.data
import torch

from srbench.resize import ResizeError, downscale, downscale_uint8, upscale, upscale_uint8

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text())
SIZES = [(1, 3), (4, 1), (2, 5), (7, 11), (13, 9)]


def keys(x):
    """Keys' cubic with a = -1/2 (MATLAB's ``cubic``)."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def dense(old, new):
    """(new, old) float64: MATLAB's imresize along one dimension, from its definition, pixel by pixel."""
    scale = new / old
    stretch = min(scale, 1.0)  # antialiasing widens the kernel when shrinking
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for row in range(new):
        centre = (row + 0.5) / scale - 0.5
        reach = range(math.floor(centre - 2 / stretch), math.ceil(centre + 2 / stretch) + 1)
        weights = {column: keys(stretch * (centre - column)) for column in reach}
        total = sum(weights.values())
        for column, weight in weights.items():
            mirrored = column % (2 * old)
            matrix[row, min(mirrored, 2 * old - 1 - mirrored)] += weight / total
    return matrix


def random_picture(height, width, dtype=torch.float64):
    return torch.rand((2, 3, height, width), generator=torch.Generator().manual_seed(height), dtype=dtype)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_downscale_is_the_dense_matrix(size, scale):
    height, width = size
    pictures = random_picture(height * scale, width * scale)
    expected = dense(height * scale, height) @ pictures @ dense(width * scale, width).t()
    torch.testing.assert_close(downscale(pictures, scale), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_upscale_is_the_dense_matrix(size, scale):
    height, width = size
    pictures = random_picture(height, width)
    expected = dense(height, height * scale) @ pictures @ dense(width, width * scale).t()
    torch.testing.assert_close(upscale(pictures, scale), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_uint8_is_rounded_after_rows_and_again_after_columns(scale):
    pictures = random_picture(5 * scale, 7 * scale).mul(256).to(torch.uint8)
    rows = (dense(5 * scale, 5) @ pictures.double()).round().clamp(0, 255)
    expected = (rows @ dense(7 * scale, 7).t()).round().clamp(0, 255)
    found = downscale_uint8(pictures, scale)
    assert found.dtype == torch.uint8
    assert torch.equal(found.double(), expected)
    once = (dense(5 * scale, 5) @ pictures.double() @ dense(7 * scale, 7).t()).round().clamp(0, 255)
    assert not torch.equal(found.double(), once), "rounding once gives other values"


def test_uint8_upscale_is_rounded_twice_too():
    pictures = random_picture(6, 5).mul(256).to(torch.uint8)
    rows = (dense(6, 24) @ pictures.double()).round().clamp(0, 255)
    expected = (rows @ dense(5, 20).t()).round().clamp(0, 255)
    assert torch.equal(upscale_uint8(pictures, 4).double(), expected)


def test_overshoot_is_clamped():
    edge = torch.zeros(1, 8, 8, dtype=torch.uint8)
    edge[:, :, 4:] = 255
    assert upscale(edge.double(), 2).max() > 255
    assert upscale_uint8(edge, 2).max() == 255
    assert upscale_uint8(edge, 2).min() == 0


@pytest.mark.parametrize("key", GOLDEN)
def test_photographs_match_the_reference_to_the_bit(key):
    """First 12 digits of the sha1 of the 8-bit pictures that the Python port of MATLAB's imresize makes."""
    if key.startswith("coffee"):
        array = skimage.data.coffee()[:400, :600]
    else:
        array = skimage.data.astronaut()
        array = array if key.startswith("astronaut512") else array[:160, 150:310]
    hr, scale = torch.from_numpy(array.copy()).permute(2, 0, 1), int(key[-1])
    lr = downscale_uint8(hr, scale)
    for name, picture in {"hr": hr, "lr": lr, "sr": upscale_uint8(lr, scale)}.items():
        content = picture.permute(1, 2, 0).contiguous().numpy().tobytes()
        assert hashlib.sha1(content).hexdigest()[:12] == GOLDEN[key][f"sha1_{name}"], name


@pytest.mark.parametrize("resize", [downscale, upscale])
def test_gradients(resize):
    pictures = random_picture(6, 9)[:1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: resize(x, 3), (pictures,))


def test_float32_stays_float32():
    pictures = random_picture(16, 24, torch.float32)
    assert downscale(pictures, 4).dtype == torch.float32
    torch.testing.assert_close(downscale(pictures, 4).double(), downscale(pictures.double(), 4), rtol=0, atol=1e-6)


def test_any_leading_dimensions():
    pictures = random_picture(8, 12)
    assert torch.equal(downscale(pictures[0, 0], 4), downscale(pictures, 4)[0, 0])
    assert torch.equal(upscale(pictures[None], 2), upscale(pictures, 2)[None])


def test_scale_one_changes_nothing():
    pictures = random_picture(5, 7)
    assert torch.equal(downscale(pictures, 1), pictures)
    assert torch.equal(upscale(pictures, 1), pictures)


@pytest.mark.parametrize("resize", [downscale, downscale_uint8])
def test_sides_that_the_scale_does_not_divide(resize):
    with pytest.raises(ResizeError, match="a picture of 9x8 cannot be shrunk 4 times; crop it to a multiple of 4"):
        resize(torch.zeros(3, 9, 8, dtype=torch.uint8), 4)
