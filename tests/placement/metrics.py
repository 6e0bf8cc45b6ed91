"""The metrics of images on a GPU. Their values come to the CPU, wherever the reference image lies."""

from __future__ import annotations

import pytest
import torch
from inception import Inception
from pyiqa.archs.vsi_arch import VSI

from srbench.benchmark.measure import measure_folders
from srbench.benchmark.scorer import Scorer, measure_set
from srbench.explaining import search
from srbench.images.io import write_png
from srbench.interfaces import ImageMetric, ImagePair, ImageSet, SampledImage
from srbench.metrics import lpips, lr_psnr, psnr, ssim
from srbench.metrics.fid import WHOLE, inception
from srbench.metrics.loading import described, load_metric, open_metric
from srbench.metrics.lpips_network import Network
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.pixel import PSNR
from srbench.models import inference
from srbench.plugins.registry import registered

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the statistics of arbitrary numbers
SIZE = {"height": 24, "width": 48}


OF_IMAGES = [name for name in registered("metrics") if isinstance(described(name).metric, ImageMetric)]


@pytest.mark.parametrize("name", OF_IMAGES)
def test_metric(name, gpu):
    metric = load_metric(name)
    for move in (lambda images: images, lambda images: images.cpu()):
        lr, hr = map(move, gpu.pair(4, **SIZE))
        samples = torch.rand(2, *hr.shape, device=gpu.device)
        for _ in range(2):  # once more with what was kept of HR
            assert metric(samples, ImagePair("a", lr, hr)).device.type == "cpu"


def test_functions(gpu):
    lr, hr = (images.mul(255).to(torch.uint8) for images in gpu.pair(4, 2, **SIZE))
    for reference in (hr, hr[0], hr.cpu(), hr[0].cpu()):
        for metric in (psnr, ssim, lpips):
            assert metric(hr, reference).device.type == "cpu"
    for reference in (lr, lr[0], lr.cpu()):
        assert lr_psnr(hr, reference).device.type == "cpu"


NAMES = ("psnr", "lpips", "pyiqa:vsi")


def score(images):
    """As ``srbench run`` and ``srbench score`` do."""
    outputs = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8)
    scorer = Scorer([open_metric(name) for name in NAMES], inference.choose_device("auto"))
    pair = ImagePair("a", *(outputs[0, :, ::step, ::step] / 255 for step in (4, 1)))
    for _, value, error, _ in scorer.score(None, pair, outputs, outputs, ("psnr", "lpips", "pyiqa_vsi"), None):
        assert (error, len(value or ())) == ("", 2)


def measure(images):
    measured = measure_folders({"sr": images}, images, names=NAMES)
    [images], [failures] = measured.values.images.values(), measured.failures.values()
    assert ([*images], failures) == (["a", "b"], ())


def explain(images):
    assert search.explain("1, 1", NAMES[1:], sr=images, hr=images)


@pytest.fixture
def places(monkeypatch):
    """places(owner, name): devices of the images that a method of a class is given."""

    def call(owner, name):
        found, method = set(), getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda self, images, *rest: found.add(images.device.type) or method(self, images, *rest)
        )
        return found

    return call


@pytest.mark.parametrize("command", [score, measure, explain])
def test_learned_metrics_compute_on_the_gpu_of_the_command(command, gpu, places, monkeypatch, tmp_path):
    of_psnr, *learned = (places(*place) for place in ((PSNR, "values"), (LPIPS, "distances"), (VSI, "forward")))
    for module in (inference, search):
        monkeypatch.setattr(module, "choose_device", lambda name: gpu.device.type)
    for name in "ab":
        write_png(tmp_path / f"{name}.png", torch.zeros(3, 96, 128, dtype=torch.uint8))
    command(tmp_path)
    assert of_psnr <= {"cpu"}
    assert learned == [{gpu.device.type}] * 2


def test_fid(gpu, places, monkeypatch):
    monkeypatch.setattr("pyiqa.archs.fid_arch.InceptionV3", Inception)
    found = places(Inception, "forward")
    inception.cache_clear()
    inception().features(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), WHOLE, gpu.device.type)
    inception.cache_clear()
    assert found == {gpu.device.type}


def test_tlp(gpu, places):
    found = places(Network, "features")
    frame = torch.zeros(3, 96, 96, dtype=torch.uint8)
    pair = ImagePair("a", frame[:, ::4, ::4] / 255, frame / 255)
    images = ImageSet(
        "abcdef", lambda name: SampledImage(name, lambda count: frame[None], lambda: pair), gpu.device.type
    )
    assert measure_set(load_metric("tlp"), images) == 0
    assert found == {gpu.device.type}
