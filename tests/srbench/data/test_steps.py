"""Steps of degradations; kernels, filters and noise of Real-ESRGAN against numbers computed with BasicSR 1.4.2."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch

from srbench.data import DataError
from srbench.data.degradations.draws import Range
from srbench.data.degradations.steps import (
    Blur,
    Downscale,
    Finish,
    Grain,
    Kernel,
    Noise,
    Rescale,
    Sharpen,
    blur_kernel,
    filtered,
    poisson_noise,
    sinc_kernel,
)
from srbench.images.io import read_uint8

ELLIPTIC = partial(blur_kernel, 7, 1.3, 0.6, 0.7)
SHARES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def edge():
    """A diagonal edge on a ramp."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    return (torch.where(x + y > 44, 200.0, 60.0) + x).expand(3, 40, 48).double()


def test_plain_steps(draw_image):
    image, lr = draw_image(0, 32, 40), (8, 10)
    flat = torch.full_like(image, 77)
    blur, noise = Blur(Range((2, 2))), Noise(Range((10, 10)), grey=True)
    assert torch.equal(blur(flat, lr, generator()), flat)
    assert blur(image, lr, generator()).double().var() < image.double().var()
    assert torch.equal(Noise(Range((0, 0)))(image, lr, generator()), image)
    grey = noise(flat, lr, generator())
    assert torch.equal(grey[0], grey[2])
    assert grey.double().std().item() == pytest.approx(10, rel=0.1)
    with pytest.raises(DataError, match="only by integer factors"):
        Downscale("matlab")(image[:, :30], lr, generator())


@pytest.mark.parametrize(
    ("kernel", "third_row"),
    [
        (
            blur_kernel(7, 1.3, 1.3, 0, 1, plateau=False),
            [0.004944, 0.0217034, 0.0527226, 0.0708739, 0.0527226, 0.0217034, 0.004944],
        ),
        (ELLIPTIC(1, plateau=False), [0.0023866, 0.0344729, 0.1112185, 0.0801463, 0.0129002, 0.0004638, 3.7e-06]),
        (ELLIPTIC(1.7, plateau=False), [0.0, 0.0040897, 0.1540261, 0.072514, 3.33e-05, 0.0, 0.0]),
        (ELLIPTIC(1.4, plateau=True), [0.0089405, 0.0288902, 0.0862928, 0.0586733, 0.0167184, 0.0058575, 0.0026305]),
        (sinc_kernel(1.9, 7), [-0.034694, -0.0276623, 0.1256751, 0.2318229, 0.1256751, -0.0276623, -0.034694]),
    ],
    ids=["round", "elliptic", "generalized", "plateau", "sinc"],
)
def test_kernels(kernel, third_row):
    assert kernel.sum() == pytest.approx(1)
    assert kernel[2] == pytest.approx(third_row, abs=1e-7)


def test_filters(edge):
    row = filtered(edge, ELLIPTIC(1.4, plateau=True))[0, 0, 40:48]
    published = [103.967, 110.86, 122.113, 143.95, 176.39, 223.874, 241.255, 244.615]
    assert row.numpy() == pytest.approx(published, abs=1e-3), "also at the borders"
    sharpened = Sharpen()(edge, (10, 12), generator())[0, 20, 16:34:2]
    published = [63.593, 61.77, 59.468, 56.893, 54.312, 251.469, 250.957, 248.568, 246.566]
    assert sharpened.numpy() == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize(
    ("grey", "published"),
    [
        (False, [-10, -4.0625, -14.0625, -8.125, -2.1875, -12.1875, -22.1875, -32.1875, 5.625, -84.0625, -46.25, 0]),
        (True, [-43, -53, 0.75, 39.5]),
    ],
)
def test_poisson_noise(grey, published):
    image = torch.tensor([[[10, 20], [30, 40]], [[50, 60], [70, 80]], [[90, 100], [110, 255]]], dtype=torch.float64)
    assert poisson_noise(image, grey, generator(3)).flatten().numpy() == pytest.approx(published, abs=1e-4)


def test_grain(edge):
    flat = torch.full((3, 64, 64), 128.0, dtype=torch.float64)
    step = partial(Grain, sigma=Range((20, 20)), poisson=Range((1, 1)))
    gaussian = step(gaussian=1, grey=0)(flat, (16, 16), generator()) - flat
    assert gaussian.std().item() == pytest.approx(20, rel=0.05)
    assert not torch.equal(gaussian[0], gaussian[1])
    grey = step(gaussian=0, grey=1)(edge, (10, 12), generator()) - edge
    assert torch.allclose(grey[0], grey[2])
    assert grey.abs().max() > 1


def test_sizes_and_shares(edge):
    up, down, keep = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    lr = (10, 12)
    for seed in range(5):
        larger = Rescale(Range((0.5, 2)), up)(edge, lr, generator(seed))
        assert 40 <= larger.shape[1] <= 80
        smaller = Rescale(Range((0.5, 2)), down, of_lr=True)(edge, lr, generator(seed))
        assert 5 <= smaller.shape[1] <= 10
        assert torch.allclose(Rescale(Range((0.5, 2)), keep)(edge, lr, generator(seed)), edge)
        assert Finish(0.8, Range((30, 95)))(edge, lr, generator(seed)).shape == (3, *lr)
    with pytest.raises(DataError, match=r"an image of 1x1 cannot be resized 0\.\d+ times"):
        Rescale(Range((0.5, 1)), down)(edge[:, :1, :1], lr, generator())


def test_chances(edge):
    step = partial(Kernel, Range((1, 3)), Range((0.5, 4)), Range((1, 2)), SHARES)
    assert torch.equal(step(sinc=0.1, chance=0)(edge, (10, 12), generator()), edge)
    blurred = [step(sinc=0)(edge, (10, 12), generator(seed)) for seed in range(6)]
    assert all(image.max() <= edge.max() + 1e-9 for image in blurred), "no negative weights"
    assert any(step(sinc=1)(edge, (10, 12), generator(seed)).max() > edge.max() for seed in range(6)), "a sinc rings"


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (lambda: Kernel(Range((1, 3)), Range((0.5, 4)), Range((1, 2)), (0.5, 0.5), 0.1), "6 with sum 1"),
        (lambda: Kernel(Range((1, 3)), Range((2, 4)), Range((1, 2)), SHARES, 0.1), "have to contain 1"),
        (lambda: Rescale(Range((1.5, 2)), (0.2, 0.7, 0.1)), "contains 1"),
        (lambda: Finish(1.5, Range((30, 95))), "sinc is 1.5; it has to be a probability"),
    ],
)
def test_faults(step, fault):
    with pytest.raises(ValueError, match=fault):
        step()


def test_lr_images_as_files(command, photos, tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr("srbench.cli.data.shown_progress", lambda begun: nullcontext(steps.append))
    degrade = ("data", "degrade", str(photos), "--scale", "4", "--out", "lr", "--degrade")
    done = command(*degrade, "stablesr")
    assert done.code == 0, done.err
    assert done.out.startswith("4 LR images in lr, made from HR by stablesr@1: sharpen, kernel sigma 0.2 to 1.5")
    assert [(step.done, step.total, step.what) for step in steps][::2] == [(0, 4, "a"), (2, 4, "c"), (4, 4, "")]
    first = read_uint8(tmp_path / "lr" / "b.png")
    (tmp_path / "lr" / "b.png").unlink()
    assert command(*degrade, "stablesr").code == 0, "completes the folder"
    assert np.array_equal(read_uint8(tmp_path / "lr" / "b.png"), first)
    for other in ("real-esrgan", "stablesr+seed=1"):
        refused = command(*degrade, other)
        assert refused.code == 1
        assert "exists with different contents" in refused.err
