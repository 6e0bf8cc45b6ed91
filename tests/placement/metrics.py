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


@pytest.mark.parametrize("command", [score, measure, explain])
def test_learned_metrics_compute_on_the_gpu_of_the_command(command, gpu, monkeypatch, tmp_path):
    places = {}

    def noting(owner, name):
        function = getattr(owner, name)

        def noted(metric, images, *rest):
            places.setdefault(owner, set()).add(images.device.type)
            return function(metric, images, *rest)

        monkeypatch.setattr(owner, name, noted)

    for owner, name in ((PSNR, "values"), (LPIPS, "distances"), (VSI, "forward")):
        noting(owner, name)
    for module in (inference, search):
        monkeypatch.setattr(module, "choose_device", lambda name: gpu.device.type)
    for name in "ab":
        write_png(tmp_path / f"{name}.png", torch.zeros(3, 96, 128, dtype=torch.uint8))
    command(tmp_path)
    assert places.pop(PSNR, {"cpu"}) == {"cpu"}
    assert places == {LPIPS: {gpu.device.type}, VSI: {gpu.device.type}}


def test_fid(gpu, monkeypatch):
    places = []

    class NotingInception(Inception):
        def forward(self, images, *rest):
            places.append(images.device.type)
            return super().forward(images, *rest)

    monkeypatch.setattr("pyiqa.archs.fid_arch.InceptionV3", NotingInception)
    inception.cache_clear()
    inception().features(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), WHOLE, gpu.device.type)
    inception.cache_clear()
    assert places == [gpu.device.type]


def test_tlp(gpu, monkeypatch):
    places = set()
    features = Network.features
    monkeypatch.setattr(
        Network, "features", lambda net, images: places.add(images.device.type) or features(net, images)
    )
    frames = torch.zeros(6, 3, 96, 96, dtype=torch.uint8)

    def frame(name):
        return SampledImage(
            name, lambda count: frames[:1], lambda: ImagePair(name, frames[0, :, ::4, ::4] / 255, frames[0] / 255)
        )

    assert measure_set(load_metric("tlp"), ImageSet("abcdef", frame, gpu.device.type)) == 0
    assert places == {gpu.device.type}
