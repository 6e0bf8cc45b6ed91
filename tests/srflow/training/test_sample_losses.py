"""The distance of LPIPS is the package's; what the loss on textures sees, and what it does not."""

import lpips
import pytest
import torch
import torch.nn.functional as F

from baselines.vgg import LAYERS, PerceptualLoss
from srflow.training.sample_losses import channel_weights, learned_distance, texture_difference


def noise(seed=0, batch=2, side=96):
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def features(images):
    """Of two stages, each a fixed random convolution."""
    generator = torch.Generator().manual_seed(1)
    first = F.conv2d(images - 0.5, torch.randn(8, 3, 3, 3, generator=generator), padding=1)
    return [first, F.conv2d(F.max_pool2d(first.relu(), 2), torch.randn(8, 8, 3, 3, generator=generator), padding=1)]


def test_texture_is_the_same_elsewhere_and_another_texture_is_not():
    """The same noise moved is far away pixel by pixel, near in its statistics; smooth images are far in both."""
    image = noise()
    moved, smooth = image.roll((5, 3), (2, 3)), F.avg_pool2d(image, 5, 1, 2)
    assert texture_difference(features(image), features(image)) == 0
    assert texture_difference(features(moved), features(image)) < 0.1
    assert texture_difference(features(noise(7)), features(image)) < 0.2
    assert texture_difference(features(smooth), features(image)) > 0.5
    assert F.l1_loss(features(moved)[-1], features(image)[-1]) > F.l1_loss(features(smooth)[-1], features(image)[-1])


def test_texture_is_sought_in_its_place():
    image = torch.cat([noise(side=96)[..., :48], 0.5 * torch.ones(2, 3, 96, 48)], 3)
    assert texture_difference(features(image.flip(3)), features(image)) > 0.5


def test_gradients_are_finite_where_nothing_varies():
    flat = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    texture_difference(features(flat), features(noise(side=64)[:1])).backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


def test_the_statistics_are_means_and_deviations_in_windows():
    """One window: by hand."""
    a, b = noise(3, 1, 32), noise(4, 1, 32)

    def statistics(x):
        active = x.clamp(min=0)
        return active.mean((2, 3)), active.std((2, 3), correction=0)

    expected = torch.stack([(x - y).abs().mean() / y.mean() for x, y in zip(statistics(a), statistics(b), strict=True)])
    torch.testing.assert_close(texture_difference([a], [b]), expected.mean(), rtol=1e-2, atol=0)


@pytest.fixture(scope="module")
def package():
    """LPIPS of the package, of random convolutions and its learned weights of channels."""
    torch.manual_seed(0)
    return lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torchvision, about arguments of the package
def test_the_distance_is_that_of_the_package(package):
    convolutions = [module for module in package.net.modules() if isinstance(module, torch.nn.Conv2d)]
    tensors = {
        f"features.{at}.{part}": getattr(one, part).detach()
        for at, one in zip(LAYERS["vgg16"].values(), convolutions, strict=True)
        for part in ("weight", "bias")
    }
    seen, known = (
        PerceptualLoss(tensors, "vgg16", "conv5_3").features(image) for image in (noise(1, side=64), noise(2, side=64))
    )
    with torch.no_grad():
        expected = package(noise(1, side=64), noise(2, side=64), normalize=True).mean()
    torch.testing.assert_close(learned_distance(seen, known, channel_weights()), expected, rtol=1e-5, atol=0)
    assert learned_distance(known, known, channel_weights()) == 0
    fewer = learned_distance(seen[:2], known[:2], channel_weights())
    assert 0 < fewer < expected, "a network that ends earlier has fewer stages"


def test_a_training_in_bfloat16_does_not_round_the_distance():
    seen, known, weights = features(noise(1)), features(noise(2)), [torch.rand(1, 8, 1, 1), torch.rand(1, 8, 1, 1)]
    with torch.autocast("cpu", torch.bfloat16):
        half = learned_distance(seen, known, weights)
    assert torch.equal(half, learned_distance(seen, known, weights))
