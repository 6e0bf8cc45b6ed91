"""Every model learns one image by heart, to a bar far from where it began: a loop that does not learn misses it."""

import math

import pytest
import torch

from baselines.pretrained import load_esrgan, load_rrdb
from srbench.data.datasets import Folder, packaged_photos
from srbench.images.io import read_uint8, write_png
from srbench.images.resize import upscale
from srbench.metrics.loading import load_metric
from srflow.pretrained import load_srflow

pytestmark = pytest.mark.slow
SHORT = ("training.patch=32", "training.checkpoint_every=1000", "training.validate_every=1000")
SIZE = ("features=16", "growth=8", "blocks=2")


@pytest.fixture(scope="module")
def data(trainings):
    """A folder with one image, 32x32 of a packaged photograph: every patch is all of it, turned and flipped."""
    photo = read_uint8(packaged_photos(4).files["chameleon"])
    write_png(trainings.path / "one" / "image.png", photo[:, 232:264, 232:264].contiguous())
    return trainings.path / "one"


@pytest.fixture(scope="module")
def unlearnt(trainings, data):
    """RRDB weights to start from that know nothing: of one step."""
    size = [f"network.{change}" for change in SIZE]
    return trainings.train("rrdb", "unlearnt", "training.steps=1", *SHORT, *size, data=(data,))


def by_heart(trainings, model, prefix, start, data, *changes):
    size = [f"{prefix}.{change}" for change in SIZE if prefix]
    return trainings.train(model, f"{model}-by-heart", *SHORT, *size, *changes, data=(data,), start=start)


@torch.no_grad()
def psnr(upscale, pair):
    return float(load_metric("psnr")(upscale(pair.lr[None]).clamp(0, 1), pair))


@pytest.mark.parametrize(
    ("model", "load", "bar", "changes"),
    [
        ("rrdb", load_rrdb, 28.5, ["training.steps=500"]),
        ("esrgan", load_esrgan, 27.5, ["training.steps=500", "losses.adversarial_weight=0.005"]),
    ],
)
def test_one_image_is_upscaled_better_than_by_bicubic(trainings, data, unlearnt, model, load, bar, changes):
    """PSNR in dB; bicubic has 27.0, the network before its training 17."""
    pair = Folder(data, 4).read("image")
    assert psnr(load_rrdb(4, unlearnt), pair) < 20
    assert psnr(lambda lr: upscale(lr, 4), pair) < bar - 0.4
    start, prefix = (None, "network") if model == "rrdb" else (unlearnt, "")  # start weights bring their network
    path = by_heart(trainings, model, prefix, start, data, "training.learning_rate=4e-3", *changes)
    assert psnr(load(4, path), pair) > bar


def test_the_flow_grows_sure_of_one_image(trainings, data, unlearnt):
    """Bits per dimension of the image in 1/32 steps, under noise of its own: 2.5 before the first step, below 1.4."""
    flow = (
        "network.steps=2",
        "network.width=16",
        "encoder_freeze=0.0",
        "training.steps=300",
        "training.learning_rate=5e-3",
    )
    path = by_heart(trainings, "srflow", "network.encoder", unlearnt, data, *flow)
    pair, noise = Folder(data, 4).read("image"), torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        nll = load_srflow(4, path).bits_per_dimension(pair.lr.expand(8, 3, 8, 8), pair.hr + (noise - 0.5) / 32).mean()
    assert trainings.losses("srflow-by-heart", "bits_per_dim")[0] > 2.2
    assert float(nll) + math.log2(32) < 1.4
