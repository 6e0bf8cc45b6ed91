"""The metrics of images on a GPU. Their values come to the CPU, wherever the reference image lies."""

from __future__ import annotations

import pytest
import torch

from srbench.interfaces import ImagePair
from srbench.metrics import lpips, lr_psnr, psnr, ssim
from srbench.metrics.loading import load_metric
from srbench.plugins.registry import registered

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the statistics of arbitrary numbers
SIZE = {"height": 24, "width": 48}


@pytest.mark.parametrize("name", [name for name in registered("metrics") if not hasattr(load_metric(name), "of")])
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
