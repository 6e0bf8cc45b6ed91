"""Bicubic resizing against MATLAB's own images, and against one dense matrix a dimension, built from the formula."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from imresize import dense, imresize

from srbench.images import ImageError
from srbench.images.resize import downscale, downscale_uint8, upscale, upscale_uint8

FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN = json.loads((FOLDER / "metrics.json").read_text())
MATLAB_LR = np.load(FOLDER / "matlab-lr.npz")
SIZES = [(1, 3), (4, 1), (7, 11)]


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


@pytest.mark.parametrize("name", sorted({key[:-3] for key in MATLAB_LR.files}))
def test_lr_images_that_matlab_made(name):
    """Crops of public sets, chosen where most values lie between two levels (see the README of the golden data).

    HR shows two LR pixels more than LR on every side, as far as the kernel reaches.
    """
    hr, lr = (torch.from_numpy(MATLAB_LR[f"{name}-{kind}"]).permute(2, 0, 1) for kind in ("hr", "lr"))
    scale = int(name[-1])
    assert torch.equal(downscale_uint8(hr, scale)[:, 2:-2, 2:-2], lr)
    even = downscale_uint8(hr, scale, halves="even")[:, 2:-2, 2:-2]
    assert torch.equal(even, lr) == (scale == 3), "no value lies between two levels at 3x"


@pytest.mark.parametrize("halves", ["up", "even"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_uint8_is_rounded_after_rows_and_again_after_columns(scale, halves):
    images = random_image(5 * scale, 7 * scale).mul(256).to(torch.uint8)
    found = downscale_uint8(images, scale, halves=halves)
    assert found.dtype == torch.uint8
    assert torch.equal(found, imresize(images, 5, 7, halves=halves))
    once = (dense(5 * scale, 5) @ images.double() @ dense(7 * scale, 7).t()).round().clamp(0, 255)
    assert not torch.equal(found.double(), once), "rounding once gives other values"
    edge = torch.zeros(1, 6, 5, dtype=torch.uint8)
    edge[:, :, 3:] = 255
    assert upscale(edge.double(), scale).max() > 255, "so it has to be clamped"
    assert torch.equal(upscale_uint8(edge, scale), imresize(edge, 6 * scale, 5 * scale, halves="up"))


@pytest.mark.parametrize("key", GOLDEN)
def test_photographs_match_the_reference_to_the_bit(key):
    """First 12 digits of the sha1 of the 8-bit LR images that the Python port of MATLAB's imresize makes."""
    if key.startswith("coffee"):
        array = skimage.data.coffee()[:400, :600]
    else:
        array = skimage.data.astronaut()
        array = array if key.startswith("astronaut512") else array[:160, 150:310]
    hr, scale = torch.from_numpy(array.copy()).permute(2, 0, 1), int(key[-1])
    for name, image in {"hr": hr, "lr": downscale_uint8(hr, scale, halves="even")}.items():
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
