"""The command line against the official SRFlow test protocol, written out here once more with other means.

That protocol (SRFlow's test.py and Measure.py): images are cut to uint8 by truncation; PSNR and SSIM are
scikit-image's, of RGB, without a crop; LPIPS is the lpips package's AlexNet of version 0.1 on -1..1; LR-PSNR is the
PSNR of the result downscaled by the Python port of MATLAB's imresize, which rounds to uint8 after each of its passes,
halves to even. LR images are made by MATLAB, which rounds halves up.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import lpips
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from record_runs import by_image
from safetensors.torch import load_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

SIZES = {"cup": (64, 128), "spoon": (128, 64), "table": (72, 104)}
"""Height and width, multiples of 8; at 8x some LR sides are odd."""
METRICS = ("psnr", "ssim", "lpips", "lr_psnr")
ALL = ",".join(METRICS)


def cubic(x):
    """Keys' kernel with a = -0.5, as imresize has it."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))


def imresize_matrix(size, scale):
    """MATLAB's weights and indices for downscaling ``size`` pixels ``scale`` times, as a matrix (size/scale, size)."""
    matrix = np.zeros((size // scale, size))
    mirrored = np.concatenate([np.arange(size), np.arange(size)[::-1]])
    for i in range(size // scale):
        u = (i + 1) * scale + 0.5 * (1 - scale)  # MATLAB counts from 1
        taps = np.floor(u - 2 * scale) + np.arange(4 * scale + 2)
        weights = cubic((u - taps) / scale)
        np.add.at(matrix[i], mirrored[(taps.astype(int) - 1) % (2 * size)], weights / weights.sum())
    return matrix


def halves_up(levels):
    return np.floor(levels + 0.5)


def imresize(image, scale, whole):
    """(H, W, 3) uint8 -> (H/scale, W/scale, 3) uint8, rounded by ``whole`` after rows and again after columns."""
    down, right = (imresize_matrix(side, scale) for side in image.shape[:2])
    rows = whole(np.einsum("ij,jwc->iwc", down, image.astype(float))).clip(0, 255)
    return whole(np.einsum("ij,hjc->hic", right, rows)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def distance():
    """LPIPS of two (H, W, 3) uint8 images by the lpips package; its convolutions are loaded, not downloaded."""
    network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    packaged = load_file(Path(str(files("srbench"))) / "metrics" / "parameters" / "alex_features_fp32.safetensors")
    names = {name: f"features.{name.partition('.')[2]}" for name in network.net.state_dict()}
    network.net.load_state_dict({name: packaged[key] for name, key in names.items()})

    def call(one, other):
        with torch.no_grad():
            return network(lpips.im2tensor(one), lpips.im2tensor(other)).item()

    return call


def official(hr, lr, sr, scale, distance):
    """Images (h, w, 3) uint8 -> the four numbers of the official test code."""
    return {
        "psnr": peak_signal_noise_ratio(hr, sr),
        "ssim": structural_similarity(hr, sr, channel_axis=2),
        "lpips": distance(hr, sr),
        "lr_psnr": peak_signal_noise_ratio(lr, imresize(sr, scale, np.round)),
    }


def assert_official(found, expected):
    """Equal to the last digits that float32 LPIPS has."""
    for name in METRICS:
        assert found[name] == pytest.approx(expected[name], abs=1e-6 if name == "lpips" else 1e-9), name


def save(folder, name, array):
    folder.mkdir(exist_ok=True, parents=True)
    Image.fromarray(array).save(folder / f"{name}.png")


def load(path):
    return np.array(Image.open(path))


def measured(srbench, out, *arguments):
    """The folder of a run."""
    found = srbench("run", *arguments, "--out", out)
    assert found.exit_code == 0, found.output
    return out


class Bench:
    """HR, LR and results of three images as PNGs in folders, and as arrays."""

    def __init__(self, base, scale):
        self.base, self.scale = base, scale
        self.pairs = ("--scale", scale, "--hr", base / "hr", "--lr", base / "lr")
        self.hr, self.lr, self.sr, self.samples = {}, {}, {}, {}
        random = np.random.default_rng(scale)
        for place, (name, (height, width)) in enumerate(SIZES.items()):
            hr = skimage.data.coffee()[60 + 90 * place :, 150:][:height, :width]
            noise = random.normal(0, 8, (3, *hr.shape)) + random.normal(0, 20, (3, 1, 1, 3))
            worse = (hr + noise).clip(0, 255).astype(np.uint8)
            self.hr[name], self.lr[name] = hr, imresize(hr, scale, halves_up)
            self.sr[name], self.samples[name] = worse[0], worse
            save(base / "hr", name, hr)
            save(base / "lr", name, self.lr[name])
            save(base / "mine", name, worse[0])
            for sample, image in enumerate(worse):
                save(base / "drawn", f"{name}_sample{sample}", image)


@pytest.fixture(scope="module", params=[4, 8])
def bench(request, tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("official"), request.param)


@pytest.fixture(scope="module")
def run(bench, srbench):
    """The run of a folder with one result an image, and one with three."""
    folders = f"mine={bench.base / 'mine'},drawn={bench.base / 'drawn'}"
    return measured(srbench, bench.base / "run", "--models", folders, *bench.pairs, "--metrics", f"{ALL},sigma")


def test_every_image(bench, run, distance):
    found = by_image(run, "mine")
    assert sorted(found) == sorted(SIZES)
    for name, values in found.items():
        expected = official(bench.hr[name], bench.lr[name], bench.sr[name], bench.scale, distance)
        assert all(len(values[metric]) == 1 for metric in METRICS)
        assert_official({metric: values[metric][0] for metric in METRICS}, expected)


def test_every_sample_and_their_spread(bench, run, distance):
    for name, values in by_image(run, "drawn").items():
        for sample, image in enumerate(bench.samples[name]):
            expected = official(bench.hr[name], bench.lr[name], image, bench.scale, distance)
            assert_official({metric: values[metric][sample] for metric in METRICS}, expected)
        spread = bench.samples[name].astype(float).std(axis=0, ddof=1).mean()
        assert values["sigma"] == pytest.approx(spread, abs=1e-5)


def test_lr_is_made_as_matlab_makes_it(bench, run, srbench, tmp_path):
    """Pixel by pixel, and so a run on HR alone has the numbers of the run on the pairs."""
    models, data = ("--models", f"mine={bench.base / 'mine'}"), ("--scale", bench.scale, "--data", bench.base / "hr")
    alone = by_image(measured(srbench, tmp_path / "run", *models, *data, "--metrics", "lr_psnr"), "mine")
    for name, lr in bench.lr.items():
        assert np.array_equal(load(tmp_path / "run" / "images" / "lr" / f"{name}.png"), lr)
    assert alone == {name: {"lr_psnr": values["lr_psnr"]} for name, values in by_image(run, "mine").items()}


MODEL = """
import torch.nn.functional as F

class Between:
    scale = {scale}

    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=self.scale, mode="bilinear") * 1.2 - 0.1
"""


def test_numbers_between_and_beyond_the_levels_are_cut(bench, srbench, distance, tmp_path):
    """(numpy.clip(sr, 0, 1) * 255).astype(uint8), as the official code writes its images: no rounding."""
    (tmp_path / "model.py").write_text(MODEL.format(scale=bench.scale))
    models = ("--models", f"{tmp_path / 'model.py'}:Between")
    run = measured(srbench, tmp_path / "run", *models, *bench.pairs, "--metrics", ALL)
    for name, values in by_image(run, "Between").items():
        lr = torch.from_numpy(bench.lr[name]).permute(2, 0, 1)[None].float() / 255
        raw = torch.nn.functional.interpolate(lr, scale_factor=bench.scale, mode="bilinear") * 1.2 - 0.1
        raw = raw[0].permute(1, 2, 0).numpy()
        assert raw.min() < 0
        written = (np.clip(raw, 0, 1) * 255).astype(np.uint8)
        assert not np.array_equal(written, np.round(np.clip(raw, 0, 1) * 255))
        assert np.array_equal(load(run / "images" / "Between" / f"{name}.png"), written)
        expected = official(bench.hr[name], bench.lr[name], written, bench.scale, distance)
        assert_official({metric: values[metric][0] for metric in METRICS}, expected)
