import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from baselines.esrgan import Discriminator, discriminator_loss, generator_loss
from baselines.vgg import LAYERS, PerceptualLoss, _ArraysOnly, _convert
from srbench.training.config import TrainingError


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def test_relativistic_losses_by_hand():
    """Equations 1 and 2 of the paper, written out for one batch of two."""
    real, fake = [1.5, -0.5], [0.25, 2.0]
    mean_real, mean_fake = sum(real) / 2, sum(fake) / 2
    critic = -sum(log_sigmoid(r - mean_fake) for r in real) / 2 - sum(log_sigmoid(mean_real - f) for f in fake) / 2
    generator = -sum(log_sigmoid(mean_fake - r) for r in real) / 2 - sum(log_sigmoid(f - mean_real) for f in fake) / 2
    tensors = torch.tensor(real)[:, None], torch.tensor(fake)[:, None]
    assert discriminator_loss(*tensors).item() == pytest.approx(critic / 2, abs=1e-6)
    assert generator_loss(*tensors).item() == pytest.approx(generator / 2, abs=1e-6)


def test_generator_loss_sends_no_gradient_to_the_real_logits():
    real, fake = (torch.randn(3, 1, requires_grad=True) for _ in range(2))
    generator_loss(real, fake).backward()
    assert real.grad is None
    assert fake.grad.abs().sum() > 0


def test_discriminator():
    critic = Discriminator(64, 4)
    assert critic(torch.rand(2, 3, 64, 64)).shape == (2, 1)
    with pytest.raises(ValueError, match="multiple of 32"):
        Discriminator(100, 4)


def vgg(seed=0):
    """Small stand-ins with the real names and depths."""
    generator, tensors, before = torch.Generator().manual_seed(seed), {}, 3
    for i, name in enumerate(LAYERS):
        width = 4 + i
        tensors[f"{name}.weight"] = torch.randn(width, before, 3, 3, generator=generator) * 0.2
        tensors[f"{name}.bias"] = torch.randn(width, generator=generator)
        before = width
    return tensors


def test_perceptual_loss_compares_before_the_relu():
    tensors = vgg()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    def conv(x, name):
        return F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], padding=1)

    def features(x):
        x = conv((x - mean) / deviation, "conv1_1").relu()
        return conv(F.max_pool2d(conv(x, "conv1_2").relu(), 2), "conv2_1")

    a, b = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    loss = PerceptualLoss(tensors, "conv2_1")
    torch.testing.assert_close(loss(a, b), (features(a) - features(b)).abs().mean())
    assert loss(a, a).item() == 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_unknown_layer():
    with pytest.raises(TrainingError, match=r"conv9_9.*conv1_1"):
        PerceptualLoss(vgg(), "conv9_9")


def test_checkpoint_conversion(tmp_path):
    import io
    import pickle

    tree = {"VGG16_0": {}}
    for i, name in enumerate(LAYERS):
        weight = vgg()[f"{name}.weight"].numpy()
        tree["VGG16_0"][f"Conv_{i}"] = {
            "kernel": weight.transpose(2, 3, 1, 0),
            "bias": vgg()[f"{name}.bias"].numpy(),
        }
    converted = _convert(pickle.dumps(tree))
    assert converted.keys() == vgg().keys()
    assert all(torch.equal(converted[name], tensor) for name, tensor in vgg().items())

    class Evil:
        def __reduce__(self):
            return print, ("this must not run",)

    with pytest.raises(TrainingError, match=r"builtins\.print"):
        _ArraysOnly(io.BytesIO(pickle.dumps(Evil()))).load()
    assert np.array_equal(_ArraysOnly(io.BytesIO(pickle.dumps(np.arange(3)))).load(), np.arange(3))
