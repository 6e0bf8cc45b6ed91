from __future__ import annotations

import numpy as np
import pytest
import scipy.io
import skimage.data
import torch
from scipy.ndimage import correlate

from srbench.interfaces import ImagePair
from srbench.metrics import MetricError, naturalness, scene_statistics
from srbench.metrics.naturalness import BRISQUE, NIQE, PIQUE
from srbench.metrics.parameters import packaged
from srbench.metrics.scene_statistics import contrast_normalised, grey

RANDOM = np.random.default_rng(5)


def measure(metric, image: np.ndarray) -> float:
    """(H, W) grey levels or (H, W, 3) -> the metric of that image."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    hr = torch.from_numpy(image.astype(np.uint8)).permute(2, 0, 1).to(torch.float32) / 255
    return metric()(hr[None], ImagePair("image", hr, hr)).item()


def foreign_images() -> dict[str, np.ndarray]:
    """Grey images without a flat window, where all implementations mean the same; some sides odd."""
    colour = {"chelsea": skimage.data.chelsea(), "coffee": skimage.data.coffee()[:385, :289]}
    images = {
        name: grey(torch.from_numpy(array.copy()).permute(2, 0, 1)).astype(np.uint8) for name, array in colour.items()
    }
    return images | {"gravel": skimage.data.gravel()[:300, :301], "grass": skimage.data.grass()[:203, :401]}


@pytest.fixture(scope="module", params=foreign_images())
def plain(request):
    image = foreign_images()[request.param]
    assert (contrast_normalised(image.astype(np.float64), "nearest") != 0).all()
    return image


def as_foreign_input(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image / 255).expand(1, 3, *image.shape)


def test_niqe_against_pyiqa(plain, tmp_path):
    from pyiqa.archs import niqe_arch

    model = packaged("niqe_live_fp64")
    scipy.io.savemat(tmp_path / "niqe.mat", {key: model[key].numpy() for key in ("mu_prisparam", "cov_prisparam")})
    foreign = niqe_arch.NIQE(pretrained_model_path=str(tmp_path / "niqe.mat"))(as_foreign_input(plain)).item()
    assert measure(NIQE, plain) == pytest.approx(foreign, abs=1e-3)


def test_brisque_against_pyiqa(plain, tmp_path):
    from pyiqa.archs import brisque_arch

    model = packaged("brisque_live_fp64")
    torch.save((model["sv_coef"], model["sv"]), tmp_path / "brisque.pth")
    foreign = brisque_arch.BRISQUE(pretrained_model_path=str(tmp_path / "brisque.pth"))(as_foreign_input(plain)).item()
    assert measure(BRISQUE, plain) == pytest.approx(foreign, abs=2e-3)


def test_pique_against_pyiqa(plain):
    """pyiqa neither rounds grey nor pads to whole blocks, so it is given one channel, rounded and padded."""
    from pyiqa.archs import piqe_arch

    padded = np.pad(plain, [(0, -side % 16) for side in plain.shape], mode="symmetric")
    foreign = piqe_arch.PIQE()(torch.from_numpy(padded / 255)[None, None]).item()
    assert measure(PIQUE, plain) == pytest.approx(foreign, abs=1e-3)


def test_pique_stretches_to_the_brightest_pixel():
    image = skimage.data.camera()[100:260, 180:340].astype(np.float64) // 4
    stretched = np.floor(255 * image / image.max() + 0.5)
    assert image.max() < 64
    assert measure(PIQUE, image) == pytest.approx(measure(PIQUE, stretched), abs=1e-9)


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_pique_of_one_colour_is_the_worst(level):
    assert measure(PIQUE, np.full((64, 64), level)) == 100


@pytest.mark.parametrize("metric", [BRISQUE, NIQE])
@pytest.mark.parametrize("level", [0, 128])
def test_one_colour_has_no_statistics(metric, level):
    with pytest.raises(MetricError, match=r": (NIQE|BRISQUE) \(LIVE\) (needs|is undefined) .*; leave the image or"):
        measure(metric, np.full((192, 288), level))


def test_niqe_counts_blocks_with_texture():
    image = np.full((192, 192), 90)
    image[:80, :80] = RANDOM.integers(0, 256, (80, 80))
    with pytest.raises(MetricError, match="has 1 of 4"):
        measure(NIQE, image)
    image[112:, 112:] = RANDOM.integers(0, 256, (80, 80))
    assert np.isfinite(measure(NIQE, image))


@pytest.mark.parametrize("size", [(96, 96), (191, 191), (100, 150)])
def test_niqe_mirrors_what_has_fewer_than_two_blocks(size):
    image = skimage.data.camera()[100 : 100 + size[0], 180 : 180 + size[1]]
    beside = np.concatenate([image, image[:, ::-1]], axis=1)
    mirrored = np.concatenate([beside, beside[::-1]], axis=0)
    assert measure(NIQE, image) == measure(NIQE, mirrored)


@pytest.mark.parametrize("size", [(96, 192), (192, 96), (192, 192)])
def test_niqe_takes_two_blocks_as_they_are(size):
    """What lies beyond the last whole block does not count."""
    image = skimage.data.camera()[100:300, 180:380]
    exact = image[: size[0], : size[1]]
    assert naturalness._whole_blocks(exact).shape == size
    larger = image[: min(size[0] + 7, 200), : min(size[1] + 7, 200)]
    assert measure(NIQE, larger) == measure(NIQE, exact)


def test_niqe_blocks_without_a_fit_are_left_out(monkeypatch):
    """A feature that is missing in one block: the other features of it still enter the mean, as in LIVE's code."""
    features = RANDOM.standard_normal((6, 36))
    features[2, 5] = np.nan
    monkeypatch.setattr(naturalness, "_niqe_features", lambda image: features)
    model = packaged("niqe_live_fp64")
    complete = np.delete(features, 2, axis=0)
    mean = features.mean(axis=0)
    mean[5] = complete[:, 5].mean()
    covariance = (model["cov_prisparam"].numpy() + np.cov(complete, rowvar=False)) / 2
    difference = model["mu_prisparam"].numpy() - mean
    wanted = np.sqrt(difference @ np.linalg.pinv(covariance) @ difference)
    assert measure(NIQE, np.zeros((192, 288))) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("metric", [BRISQUE, NIQE])
def test_flat_regions_do_not_hang_on_the_order_of_a_sum(metric, monkeypatch):
    """The window as one sum over 49 pixels instead of two over 7 moves the last bits of every MSCN value.

    Without the rule for |MSCN| < 1e-9 those bits count as texture: here NIQE moves by 0.2 and BRISQUE by 5.
    """
    image = skimage.data.camera()[100:292, 100:388].copy()
    image[20:120, 30:200] = 143
    once = measure(metric, image)
    taps = np.exp(-np.square(np.arange(-3, 4) / (7 / 6)) / 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    monkeypatch.setattr(scene_statistics, "_smooth", lambda values, border: correlate(values, window, mode=border))
    assert measure(metric, image) == pytest.approx(once, abs=1e-6)


def test_brisque_is_not_clipped():
    """Values beyond 0..100 are the regression's own answer, and stay."""
    assert measure(BRISQUE, np.random.default_rng(3).integers(0, 256, (128, 128))) > 100
    clean = skimage.data.astronaut()[:, :, 1]
    assert measure(BRISQUE, clean) < 10
