import json
import math
from dataclasses import replace
from functools import cache
from importlib.resources import files

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import get_model

from baselines.esrgan import Discriminator, discriminator_loss, generator_loss
from baselines.presets import ESRGANPreset
from baselines.pretrained import load_esrgan
from baselines.rrdb import RRDBConfig, RRDBNet
from baselines.train import adversaries
from baselines.vgg import LAYERS, PerceptualLoss, load_vgg
from srbench.files.config import ConfigError, load_preset
from srbench.files.hashes import sha256_file
from srbench.models.loading import load_model
from srbench.training.learner import Batch
from srbench.weights.download import OFFLINE, OfflineError
from srbench.weights.files import WeightsError, save_weights


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def test_relativistic_losses_by_hand():
    """Equations 1 and 2 of the paper, written out for one batch of two."""
    real, fake = [1.5, -0.5], [0.25, 2.0]
    mean_real, mean_fake = sum(real) / 2, sum(fake) / 2
    discriminator = (
        -sum(log_sigmoid(r - mean_fake) for r in real) / 2 - sum(log_sigmoid(mean_real - f) for f in fake) / 2
    )
    generator = -sum(log_sigmoid(mean_fake - r) for r in real) / 2 - sum(log_sigmoid(f - mean_real) for f in fake) / 2
    tensors = torch.tensor(real)[:, None], torch.tensor(fake)[:, None]
    assert discriminator_loss(*tensors).item() == pytest.approx(discriminator / 2, abs=1e-6)
    assert generator_loss(*tensors).item() == pytest.approx(generator / 2, abs=1e-6)


def test_patches_are_rolled_in_their_own_ways():
    """Rolls by less than the shift, real and made alike, in parts of a step as in the whole, anew in every step."""
    numbers = torch.arange(8 * 8.0).view(8, 8)
    images = torch.stack([torch.stack([patch + numbers] * 3) for patch in range(6)])
    batch = Batch(lr=images, hr=images, step=5, first=0, seed=1)
    rolled = batch.rolled(images, 4)
    corners = [
        divmod(int((image == patch).nonzero()[0, 1:] @ torch.tensor([8, 1])), 8) for patch, image in enumerate(rolled)
    ]
    assert len(set(corners)) > 1
    assert all(0 <= down < 4 and 0 <= right < 4 for down, right in corners)
    for image, before, corner in zip(rolled, images, corners, strict=True):
        assert torch.equal(image, before.roll(corner, (1, 2)))
    parts = [part.rolled(part.hr, 4) for part in batch.parts(3)]
    assert torch.equal(torch.cat(parts), rolled)
    assert not torch.equal(replace(batch, step=6).rolled(images, 4), rolled)
    assert batch.rolled(images, 0) is images, "as published"


def test_generator_loss_sends_no_gradient_to_the_real_logits():
    real, fake = (torch.randn(3, 1, requires_grad=True) for _ in range(2))
    generator_loss(real, fake).backward()
    assert real.grad is None
    assert fake.grad.abs().sum() > 0


def test_discriminator():
    discriminator = Discriminator(64, 4)
    assert discriminator(torch.rand(2, 3, 64, 64)).shape == (2, 1)
    with pytest.raises(ConfigError, match="multiple of 32"):
        Discriminator(100, 4)


@cache
def torchvisions(network):
    """A stand-in for torchvision's file: its names and shapes, random convolutions."""
    with torch.device("meta"):
        layers = get_model(network).features.state_dict()
    generator = torch.Generator().manual_seed(0)
    tensors = {f"features.{name}": torch.randn(meta.shape, generator=generator) / 20 for name, meta in layers.items()}
    return tensors | {"classifier.0.bias": torch.zeros(3)}


def test_perceptual_loss_compares_before_the_relu():
    tensors = torchvisions("vgg16")
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    def conv(x, name):
        at = LAYERS["vgg16"][name]
        return F.conv2d(x, tensors[f"features.{at}.weight"], tensors[f"features.{at}.bias"], padding=1)

    def features(x):
        x = conv((x - mean) / deviation, "conv1_1").relu()
        return conv(F.max_pool2d(conv(x, "conv1_2").relu(), 2), "conv2_1")

    a, b = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    loss = PerceptualLoss(tensors, "vgg16", "conv2_1")
    torch.testing.assert_close(loss(a, b), (features(a) - features(b)).abs().mean())
    assert loss(a, a).item() == 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_unknown_layer():
    changes = ["losses.perceptual_layer=conv9_9"]
    preset = load_preset(files("baselines") / "presets" / "esrgan", "mini-x8", ESRGANPreset, changes)
    with pytest.raises(ConfigError, match=r"losses\.perceptual_layer is 'conv9_9'; vgg16 has conv1_1.*; correct the"):
        adversaries(RRDBNet(RRDBConfig(8, 4, 2, 1)), preset, torch.device("cpu"), torchvisions("vgg16"))


def test_the_networks_of_torchvision(tmp_path, monkeypatch):
    """Their files in torch's cache are taken; a missing or wrong file is named with its place."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv(OFFLINE, "1")
    with pytest.raises(OfflineError, match=r"https://download\.pytorch\.org/models/vgg16-397923af\.pth is not downl"):
        load_vgg("vgg16")
    place = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    place.parent.mkdir(parents=True)
    for content in ([print], [1, print]):
        torch.save(content, place)
        with pytest.raises(WeightsError, match=rf"needs https://.*\.pth \(.*\); put that file at {place}"):
            load_vgg("vgg16")
    torch.save(torchvisions("vgg16"), place)
    tensors = load_vgg("vgg16")
    assert tensors.keys() == torchvisions("vgg16").keys()
    assert PerceptualLoss(tensors, "vgg16", "conv5_3")(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)) > 0


def saved(path, network, model, **facts):
    config = {"scale": 4, "features": 4, "growth": 2, "blocks": 1, "long_skip": "first"}
    facts = {"model": model, "scale": "4", "config": json.dumps(config), **facts}
    save_weights(path, network.state_dict(), facts)
    return path


def test_networks_between_rrdb_and_esrgan(tmp_path):
    """ESRGAN, equation 4: every weight is as far between those of the two as is asked for."""
    torch.manual_seed(0)
    config = RRDBConfig(4, 4, 2, 1)
    start = saved(tmp_path / "rrdb.safetensors", before := RRDBNet(config), "rrdb")
    (tmp_path / "run").mkdir()
    facts = {"start": sha256_file(start)}
    end = saved(tmp_path / "run" / "weights.safetensors", after := RRDBNet(config), "esrgan", **facts)
    with pytest.raises(WeightsError, match="were not found"):
        load_esrgan(4, end, 0.5)
    training = {"metadata": {"model": "esrgan"}, "request": {"start": str(start)}}
    (tmp_path / "run" / "training.json").write_text(json.dumps(training))
    lr = torch.rand(1, 3, 5, 6)
    with torch.no_grad():
        for strength, network in ((0.0, before), (1.0, after)):
            torch.testing.assert_close(load_esrgan(4, end, strength)(lr), network(lr))
        between = load_model(f"esrgan@0.25:{tmp_path / 'run'}", 4, "cpu")
        expected = 0.75 * before.conv_last.weight + 0.25 * after.conv_last.weight
        torch.testing.assert_close(between.model.conv_last.weight.detach(), expected)
    assert between.label == "esrgan-run-0.25"
    digests = {load_model(f"esrgan@{share}:{end}", 4, "cpu").digest for share in ("0", "0.25", "0.5")}
    assert len(digests) == 3
    saved(start, RRDBNet(config), "rrdb")
    with pytest.raises(WeightsError, match="were not found"):
        load_esrgan(4, end, 0.5)
