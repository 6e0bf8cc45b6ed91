"""FID and KID of folders, with a small network in place of Inception v3."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm

from srbench.images.io import read_uint8, write_png
from srbench.metrics import MetricError
from srbench.metrics.fid import SetDistances
from srbench.metrics.suite import open_metrics


class Inception(torch.nn.Module):
    """Four features of an image: means of fixed colours. pyiqa tells networks apart by the name of the class."""

    BLOCK_INDEX_BY_DIM = {2048: 3}  # noqa: RUF012

    def __init__(self, output_blocks):
        super().__init__()
        assert output_blocks == [3]
        self.colours = torch.nn.Parameter(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 1]]))

    def forward(self, images, resize, normalize):
        assert (resize, normalize) == (False, False)
        return [torch.nn.functional.conv2d(images, self.colours[..., None, None]).square().mean((2, 3), keepdim=True)]


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setattr("pyiqa.archs.fid_arch.InceptionV3", Inception)


@pytest.fixture
def folders(tmp_path):
    """Eight HR images and eight outputs, which are noisier."""
    generator = torch.Generator().manual_seed(0)
    for number in range(8):
        hr = torch.rand((3, 1, 1), generator=generator) + 0.2 * torch.randn((3, 40, 40), generator=generator)
        noisy = hr + 0.1 * torch.randn(hr.shape, generator=generator)
        for name, image in (("hr", hr), ("sr", noisy)):
            write_png(tmp_path / name / f"{number}.png", image.clamp(0, 1).mul(255).to(torch.uint8))
    return tmp_path


def features(folder):
    """Resizing by Pillow's bicubic in float32, channel by channel, and the same colours."""
    found = []
    for path in sorted(folder.glob("*.png")):
        channels = [
            Image.fromarray(c).resize((299, 299), Image.Resampling.BICUBIC)
            for c in np.moveaxis(np.array(Image.open(path), dtype=np.float32), -1, 0)
        ]
        image = (np.stack([np.asarray(channel) for channel in channels]).clip(0, 255) - 128) / 128
        found.append(np.square(np.tensordot(Inception([3]).colours.detach().numpy(), image, 1)).mean((1, 2)))
    return np.array(found, dtype=np.float64)


def test_against_the_formulas(network, folders, srbench):
    options = "--metrics psnr,fid,kid --format json --workers 1"
    done = srbench("measure", folders / "sr", "--hr", folders / "hr", *options.split())
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    ours, theirs = features(folders / "sr"), features(folders / "hr")
    first, second = np.cov(ours, rowvar=False), np.cov(theirs, rowvar=False)
    shift = np.square(ours.mean(0) - theirs.mean(0)).sum()
    assert found["sets"]["fid"] == pytest.approx(
        shift + np.trace(first + second - 2 * sqrtm(first @ second).real), rel=1e-3, abs=1e-7
    )

    def kernel(a, b):
        return (a @ b.T / 4 + 1) ** 3

    inside = sum((kernel(x, x).sum() - np.trace(kernel(x, x))) / (8 * 7) for x in (ours, theirs))
    assert found["sets"]["kid"] == pytest.approx(inside - 2 * kernel(ours, theirs).mean(), rel=1e-3, abs=1e-6)
    assert found["signatures"]["fid"].startswith("FID|RGB|floor|clean|pyiqa")
    assert list(found["mean"]) == ["psnr"]


def test_the_table_and_the_lines(network, folders, srbench):
    arguments = ("measure", folders / "sr", "--hr", folders / "hr", "--metrics", "fid")
    assert "FID ↓ " in srbench(*arguments).stdout
    lines = srbench(*arguments, "--format", "csv").stdout.splitlines()
    assert lines[0] == "model,temperature,image,sample,metric,value,signature,suite"
    assert len(lines) == 2
    assert lines[1].startswith("sr,,,,fid,")


def test_a_set_and_itself(network, folders):
    images = [read_uint8(path) for path in sorted((folders / "hr").glob("*"))]
    state = np.random.get_state()[1].copy()
    found = SetDistances(["fid", "kid"], "round").between(images, images)
    assert found["fid"] == pytest.approx(0, abs=1e-6)
    assert found["kid"] < 0, "the estimate is unbiased"
    assert (np.random.get_state()[1] == state).all()
    with pytest.raises(MetricError, match="both need at least two images"):
        SetDistances(["fid"], "round").between(images[:1], images)


def test_it_is_no_column_of_a_run():
    with pytest.raises(MetricError, match="fid compares two folders of images: srbench measure DIR --hr DIR"):
        open_metrics(("psnr", "fid"), (), "floor")


def test_weights_that_are_not_here_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path))
    with pytest.raises(MetricError, match=rf"needs https://\S+/pt_inception\S+\.pth; put that file at {tmp_path}/pt_"):
        SetDistances(["fid"], "round")
