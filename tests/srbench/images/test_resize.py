"""Bicubic resizing against an independent computation: one dense matrix a dimension, built here from the formula."""

import hashlib
import json
import math
from pathlib import Path

import pytest
import skimage.data
import torch

from srbench.images import ImageError
from srbench.images.resize import downscale, downscale_uint8, upscale, upscale_uint8

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "metrics.json").read_text())
SIZES = [(1, 3), (4, 1), (7, 11)]


def keys(x):
    """Keys' cubic with a = -1/2 (MATLAB's ``cubic``)."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def dense(old, new):
    """(new, old) float64: MATLAB's imresize along one dimension, from its definition, pixel by pixel."""
    scale = new / old
    stretch = min(scale, 1.0)  # antialiasing widens the kernel when downscaling
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


def random_image(height, width, dtype=torch.float64):
    return torch.rand((2, 3, height, width), generator=torch.Generator().manual_seed(height), dtype=dtype)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_both_are_products_with_the_dense_matrix(size, scale):
    height, width = size
    images = random_image(height * scale, width * scale)
    expected = dense(height * scale, height) @ images @ dense(width * scale, width).t()
    torch.testing.assert_close(downscale(images, scale), expected, rtol=0, atol=1e-13)
    images = random_image(height, width)
    expected = dense(height, height * scale) @ images @ dense(width, width * scale).t()
    torch.testing.assert_close(upscale(images, scale), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_uint8_is_rounded_after_rows_and_again_after_columns(scale):
    images = random_image(5 * scale, 7 * scale).mul(256).to(torch.uint8)
    rows = (dense(5 * scale, 5) @ images.double()).round().clamp(0, 255)
    expected = (rows @ dense(7 * scale, 7).t()).round().clamp(0, 255)
    found = downscale_uint8(images, scale)
    assert found.dtype == torch.uint8
    assert torch.equal(found.double(), expected)
    once = (dense(5 * scale, 5) @ images.double() @ dense(7 * scale, 7).t()).round().clamp(0, 255)
    assert not torch.equal(found.double(), once), "rounding once gives other values"
    edge = torch.zeros(1, 6, 5, dtype=torch.uint8)
    edge[:, :, 3:] = 255
    rows = (dense(6, 6 * scale) @ edge.double()).round().clamp(0, 255)
    assert upscale(edge.double(), scale).max() > 255, "so it has to be clamped"
    expected = (rows @ dense(5, 5 * scale).t()).round().clamp(0, 255)
    assert torch.equal(upscale_uint8(edge, scale).double(), expected)


@pytest.mark.parametrize("key", GOLDEN)
def test_photographs_match_the_reference_to_the_bit(key):
    """First 12 digits of the sha1 of the 8-bit images that the Python port of MATLAB's imresize makes."""
    if key.startswith("coffee"):
        array = skimage.data.coffee()[:400, :600]
    else:
        array = skimage.data.astronaut()
        array = array if key.startswith("astronaut512") else array[:160, 150:310]
    hr, scale = torch.from_numpy(array.copy()).permute(2, 0, 1), int(key[-1])
    lr = downscale_uint8(hr, scale)
    for name, image in {"hr": hr, "lr": lr, "sr": upscale_uint8(lr, scale)}.items():
        content = image.permute(1, 2, 0).contiguous().numpy().tobytes()
        assert hashlib.sha1(content).hexdigest()[:12] == GOLDEN[key][f"sha1_{name}"], name


@pytest.mark.parametrize("resize", [downscale, upscale])
def test_gradients(resize):
    images = random_image(6, 9)[:1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: resize(x, 3), (images,))


def test_float32_stays_float32():
    images = random_image(16, 24, torch.float32)
    assert downscale(images, 4).dtype == torch.float32
    torch.testing.assert_close(downscale(images, 4).double(), downscale(images.double(), 4), rtol=0, atol=1e-6)


@pytest.mark.parametrize("resize", [downscale, downscale_uint8])
def test_sides_that_the_scale_does_not_divide(resize):
    with pytest.raises(ImageError, match="an image of 8x9 cannot be downscaled 4 times; crop it to a multiple of 4"):
        resize(torch.zeros(3, 9, 8, dtype=torch.uint8), 4)
