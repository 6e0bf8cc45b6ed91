from __future__ import annotations

import lpips
import pytest
import torch

from srbench.files.hashes import sha256_file
from srbench.images.io import quantize_floor
from srbench.interfaces import ImagePair
from srbench.metrics import MetricError
from srbench.metrics.loading import open_metric
from srbench.metrics.perceptual import LPIPS


def as_input(images: torch.Tensor) -> torch.Tensor:
    """The range of the lpips package: uint8 / 127.5 - 1."""
    return quantize_floor(images).to(torch.float32) / 127.5 - 1


@pytest.mark.parametrize("size", [(64, 64), (75, 98)])
def test_against_the_lpips_package(coffee, samples, lpips_package, size):
    height, width = size
    pair = ImagePair("crop", coffee.lr, coffee.hr[:, :height, :width])
    cut = samples[..., :height, :width]
    with torch.no_grad():
        wanted = lpips_package(as_input(cut), as_input(pair.hr[None]).expand(3, -1, -1, -1)).flatten()
    measured = LPIPS()(cut, pair)
    torch.testing.assert_close(measured, wanted.to(torch.float64), atol=1e-6, rtol=0)


def test_maps_against_the_lpips_package(coffee, samples, lpips_package, monkeypatch):
    monkeypatch.setattr(lpips_package, "spatial", True)
    images = quantize_floor(samples[:2, :, :75, :98])
    hr = quantize_floor(coffee.hr[:, :75, :98])
    with torch.no_grad():
        wanted = lpips_package(images / 127.5 - 1, (hr / 127.5 - 1).expand(2, -1, -1, -1))[:, 0]
    metric = LPIPS()
    torch.testing.assert_close(metric.maps(images, hr), wanted, atol=1e-5, rtol=0)
    assert torch.equal(metric.map(images, ImagePair("a", hr, hr)), metric.maps(images, hr)[0])


def test_another_hr_image_has_its_own_features(coffee, samples):
    """Also one of equal size and name."""
    metric = LPIPS()
    darker = ImagePair(coffee.name, coffee.lr, coffee.hr / 2)
    interleaved = [metric(samples, pair) for pair in (coffee, darker, coffee, darker)]
    fresh = [LPIPS()(samples, pair) for pair in (coffee, darker)]
    assert not torch.equal(*fresh)
    for index, values in enumerate(interleaved):
        assert torch.equal(values, fresh[index % 2])


def test_gpu_equals_cpu(coffee, samples, device):
    metric = LPIPS()
    on_gpu = metric(samples.to(device), coffee)
    assert on_gpu.device.type == "cpu"
    torch.testing.assert_close(on_gpu, metric(samples, coffee), atol=1e-5, rtol=0)


@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_other_networks_are_those_of_the_lpips_package(coffee, samples, tmp_path, net):
    """On numbers of torchvision's shapes; the heads are the package's own."""
    torch.manual_seed(0)
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    trunk = {f"features.{name.partition('.')[2]}": value for name, value in theirs.net.state_dict().items()}
    torch.save(trunk | {"classifier.0.weight": torch.ones(1)}, tmp_path / "trunk.pth")
    metric = LPIPS(net=net, trunk=tmp_path / "trunk.pth")
    with torch.no_grad():
        wanted = theirs(as_input(samples), as_input(coffee.hr[None]).expand(3, -1, -1, -1)).flatten()
    torch.testing.assert_close(metric(samples, coffee), wanted.to(torch.float64), atol=1e-6, rtol=1e-5)
    digits = sha256_file(tmp_path / "trunk.pth")[:8]  # other weights do not pass for torchvision's
    assert (metric.info.name, metric.info.signature) == (f"lpips_{net}", f"RGB|{net}0.1-{digits}|v1")
    assert f"not torchvision's weights (SHA-256 {digits}...)" in metric.info.protocol


def test_weights_that_are_not_here_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = rf"{tmp_path}/hub/checkpoints/vgg16-397923af\.pth"
    with pytest.raises(MetricError, match=rf"LPIPS on VGG16 needs https://.*; put that file at {place}, or name it"):
        LPIPS(net="vgg")
    with pytest.raises(MetricError, match="net is 'vgg19'; give alex, vgg or squeeze"):
        open_metric("lpips+net=vgg19")
    torch.save({"features.0.weight": torch.ones(1)}, tmp_path / "trunk.pth")
    with pytest.raises(MetricError, match=r"not weights of SqueezeNet \(it lacks features\.0\.weight\)"):
        LPIPS(net="squeeze", trunk=tmp_path / "trunk.pth")(torch.rand(1, 3, 64, 64), IMAGE)


def test_weights_in_this_folder_are_those_of_their_path(tmp_path, monkeypatch):
    """A run records the path, and opens the metric by it again in any folder."""
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": torch.ones(1)}, "trunk.pth")
    typed = open_metric("lpips+net=squeeze+trunk=trunk.pth").info
    monkeypatch.chdir("/")
    assert open_metric(typed.spec).info == typed


def test_other_weights_do_not_pass_for_torchvisions(tmp_path, monkeypatch):
    """The digest of the metric holds their name alone, so values of other weights would be taken for theirs."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    place.parent.mkdir(parents=True)
    torch.save({"features.0.weight": torch.ones(1)}, place)
    with pytest.raises(
        MetricError, match=rf"^{place}: not torchvision's file of that name, by its SHA-256; get another"
    ):
        LPIPS(net="vgg")
    named = LPIPS(net="vgg", trunk=place).info
    assert (named.name, named.signature) == ("lpips_vgg", f"RGB|vgg0.1-{sha256_file(place)[:8]}|v1")


IMAGE = ImagePair("a", torch.rand(3, 16, 16), torch.rand(3, 64, 64))
