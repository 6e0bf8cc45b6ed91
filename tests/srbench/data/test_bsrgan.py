"""BSRGAN's step: area averaging against OpenCV, noise against the published code, and the position of LR pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from srbench.data import DataError
from srbench.data.degradations.bsrgan import Shuffle, area, mixed
from srbench.data.degradations.draws import Range

QUALITY = Range((30, 95))


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("old", "new"), [(50, 25), (50, 21), (21, 50)])
def test_area_is_opencvs(old, new):
    pixels = np.random.default_rng(0).random((old, 1))
    published = cv2.resize(pixels, (1, new), interpolation=cv2.INTER_AREA)
    assert (area(old, new).numpy() @ pixels).flatten() == pytest.approx(published.flatten(), abs=1e-6)


def test_noise_of_mixed_channels():
    directions = np.array([[0.54, 0.42, 0.65], [0.44, 0.89, 0.96], [0.38, 0.79, 0.53]])
    root = mixed(np.array([0.1, 0.9, 0.5]), directions).numpy()
    published = [[0.6140951, 0.1984769, 0.2534004], [0.1984769, 0.2357118, 0.0606898], [0.2534004, 0.0606898, 0.650193]]
    assert root @ root == pytest.approx(np.array(published), abs=1e-7)


@pytest.mark.parametrize("halved", [0, 1])
@pytest.mark.parametrize("sampled", [0, 1])
def test_lr_pixels_lie_where_matlab_puts_them(halved, sampled):
    ramp = torch.arange(192.0, dtype=torch.float64).expand(3, 192, 192)
    ramp = torch.stack([ramp[0], ramp[1].T, ramp[2]])
    step = Shuffle(halved, sampled, noise=Range((0, 0)), compressed=0, quality=QUALITY)
    centres = torch.arange(48.0, dtype=torch.float64) * 4 + 1.5
    for seed in range(4):
        lr = step(ramp, (48, 48), generator(seed))[:, 16:32, 16:32]
        assert (lr[0] - centres[16:32]).abs().max() < 1
        assert (lr[1] - centres[16:32, None]).abs().max() < 1


def test_noise():
    flat = torch.full((3, 64, 64), 128.0)
    step = Shuffle(halved=0, sampled=0, noise=Range((20, 20)), compressed=0, quality=QUALITY)
    images = [step(flat, (64, 64), generator(seed)) for seed in range(8)]
    assert 10 < max(image.std() for image in images) < 22
    grey = [torch.allclose(image[0], image[1]) for image in images]
    assert any(grey)
    assert not all(grey)


def test_faults():
    with pytest.raises(ValueError, match="halved is 2; it has to be a probability"):
        Shuffle(2, 0.25, Range((2, 25)), 0.9, QUALITY)
    small = torch.zeros(3, 4, 4, dtype=torch.uint8)
    step = Shuffle(0, 0, Range((0, 0)), 0, QUALITY)
    with pytest.raises(DataError, match=r"an image of 4x4 cannot be downscaled [4-8]"):
        step(small, (1, 1), generator(0))
