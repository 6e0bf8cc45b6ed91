from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pyiqa
import pytest
import torch
from pyiqa.archs.ssim_arch import ssim as pyiqa_ssim
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srbench.images.io import quantize_round
from srbench.interfaces import ImagePair
from srbench.metrics import MetricError
from srbench.metrics.loading import open_metric
from srbench.metrics.pixel import PSNR, SSIM, WINDOWS, ComparedRegion, similarity_maps

SCIKIT_IMAGE = {"uniform7": {}, "gaussian11": {"gaussian_weights": True, "sigma": 1.5}}
"""Arguments of scikit-image's ``structural_similarity`` by window."""


def as_array(image: torch.Tensor) -> np.ndarray:
    """What the official test code hands to scikit-image: clip, times 255, astype(uint8)."""
    return (np.clip(image.numpy().transpose(1, 2, 0), 0, 1) * 255).astype(np.uint8)


def test_psnr_against_scikit_image(coffee, samples):
    wanted = [peak_signal_noise_ratio(as_array(coffee.hr), as_array(sample)) for sample in samples]
    assert PSNR()(samples, coffee).tolist() == pytest.approx(wanted, abs=1e-10)


def test_ssim_against_scikit_image(coffee, samples):
    wanted = [structural_similarity(as_array(coffee.hr), as_array(sample), channel_axis=2) for sample in samples]
    assert SSIM()(samples, coffee).tolist() == pytest.approx(wanted, abs=1e-12)


@pytest.fixture
def rounded(samples):
    """The samples as 8-bit images."""
    return quantize_round(samples)


SPACES = [("ycbcr", "bt601"), ("yiq", "yiq")]


@pytest.mark.parametrize(("space", "colour"), SPACES)
def test_psnr_of_unrounded_luma_against_pyiqa(coffee, rounded, space, colour):
    """pyiqa adds 1e-8 to the error, so that identical images have 80 dB."""
    theirs = pyiqa.create_metric("psnr", test_y_channel=True, color_space=space)
    wanted = [theirs(each[None].float() / 255, coffee.hr[None]).item() for each in rounded]
    found = PSNR("Y", 0, False, colour)(rounded, coffee)
    shifted = -10 * torch.log10(10 ** (-found / 10) + 1e-8)
    assert shifted.tolist() == pytest.approx(wanted, abs=1e-5)
    assert found.tolist() == pytest.approx(wanted, abs=1e-3)


LUMA = {"bt601": (65.481, 128.553, 24.966), "yiq": (76.245, 149.685, 29.07)}
"""Weights of red, green and blue in [0, 1]."""


def without_halves(images, colour):
    """Blacken pixels whose luma is within 1e-3 of a half, one in 500: luma in float32 rounds these as it happens."""
    weights = torch.tensor(LUMA[colour], dtype=torch.float64).view(3, 1, 1)
    luma = (images.double() * weights).sum(dim=-3, keepdim=True) / 255
    return images.masked_fill((luma.frac() - 0.5).abs() < 1e-3, 0)


@pytest.mark.parametrize(("space", "colour"), SPACES)
def test_ssim_of_luma_against_pyiqa(coffee, rounded, space, colour):
    """Of the same rounded luma. pyiqa's window is in float32: with ten seeds of noise, values differ by up to 4e-7."""
    images, hr = without_halves(rounded, colour), without_halves(quantize_round(coffee.hr), colour)
    pair = ImagePair("coffee", coffee.lr, hr / 255)
    theirs = pyiqa.create_metric("ssim", test_y_channel=True, color_space=space)
    wanted = [theirs(each[None] / 255, pair.hr[None]).item() for each in images]
    metric = SSIM("Y", 0, "gaussian11", True, colour, "zero")
    assert metric(images, pair).tolist() == pytest.approx(wanted, abs=1e-6)
    luma = [metric._region.of(each[None], coffee).double() for each in (*rounded, quantize_round(coffee.hr))]
    exact = [pyiqa_ssim(each, luma[-1], data_range=255).item() for each in luma[:-1]]
    assert metric(rounded, coffee).tolist() == pytest.approx(exact, abs=1e-6), "of all pixels, from the luma of srbench"
    kept = SSIM("Y", 0, "gaussian11", True, colour)(rounded, coffee)
    assert (kept <= metric(rounded, coffee)).all(), "negative factors only lower it"
    assert kept[2] < metric(rounded, coffee)[2]


def test_unrounded_luma_against_scikit_image(coffee, rounded):
    """Both windows take it; the second is compared with scikit-image's."""
    ours = ComparedRegion("Y", 4, False).of(rounded, coffee)[:, 0].numpy()
    arrays = [rgb2ycbcr(each.permute(1, 2, 0).numpy())[4:-4, 4:-4, 0] for each in (*rounded, quantize_round(coffee.hr))]
    for one, other in zip(ours, arrays, strict=False):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
    wanted = [structural_similarity(arrays[-1], each, data_range=255) for each in arrays[:-1]]
    assert SSIM("Y", 4, "uniform7", False)(rounded, coffee).tolist() == pytest.approx(wanted, abs=1e-9)
    wanted = [
        structural_similarity(
            arrays[-1], each, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for each in arrays[:-1]
    ]
    assert SSIM("Y", 4, "gaussian11", False)(rounded, coffee).tolist() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("side", [(7, 40), (38, 7), (39, 20), (71, 33)])
@pytest.mark.parametrize("is_uint8", [True, False])
def test_similarity_of_any_size_and_window_against_scikit_image(side, is_uint8):
    """Every window lies inside the image, and no row of windows is lost where the computation splits the image."""
    images = 255 * torch.rand(2, 3, *side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one, other = images.byte() if is_uint8 else images
    for name, arguments in SCIKIT_IMAGE.items():
        for has_sample_covariance in (True, False):
            window = replace(WINDOWS[name], has_sample_covariance=has_sample_covariance)
            if min(side) < window.side:
                continue
            maps = similarity_maps(one, other, window, data_range=100)
            border = window.side // 2
            _, wanted = structural_similarity(
                one.numpy(),
                other.numpy(),
                channel_axis=0,
                full=True,
                data_range=100,
                use_sample_covariance=has_sample_covariance,
                **arguments,
            )
            np.testing.assert_allclose(maps, wanted[:, border:-border, border:-border], rtol=0, atol=1e-10)


def test_full_range_luma_against_opencv(coffee, rounded):
    grey = [
        cv2.cvtColor(each.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2GRAY)
        for each in (*rounded, quantize_round(coffee.hr))
    ]
    assert np.array_equal(ComparedRegion("Y", 0, True, "full").of(rounded, coffee)[:, 0].numpy(), np.stack(grey[:-1]))
    wanted = [cv2.PSNR(grey[-1], each) for each in grey[:-1]]
    assert PSNR("Y", 0, True, "full")(rounded, coffee).tolist() == pytest.approx(wanted, abs=1e-9)


def test_defaults_have_the_signatures_they_had():
    assert PSNR("Y", 4).info.signature == "Y|crop4|v1"
    assert SSIM("Y", "scale", "gaussian11").info.signature == "Y|gaussian11|crop(scale+5)|v1"
    assert PSNR("Y", 0, False).info.signature == "Y|unrounded|crop0|v1"
    assert (PSNR("Y", 0, False, "yiq").info.title, PSNR("Y").info.title) == ("PSNR (Y of YIQ)", "PSNR (Y)")
    assert SSIM("Y", 0, "gaussian11", True, "full", "zero").info.signature == "Y|full|gaussian11|negative0|crop5|v1"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ("channels=Y+round=half", "round is 'half'; give yes or no"),
        ("channels=Y+colour=bt709", "colour is 'bt709'; give bt601, yiq or full"),
        ("round=no", "round and colour apply to Y only; add channels=Y, or leave them out"),
        ("border=-1", "border is '-1'; give a whole number of at least 0 or scale"),
    ],
)
def test_what_luma_cannot_be(arguments, fault):
    for metric in ("psnr", "ssim"):
        with pytest.raises(MetricError, match=fault):
            open_metric(f"{metric}+{arguments}")
