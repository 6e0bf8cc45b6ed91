"""What the loss on textures sees, and what it does not."""

import torch
import torch.nn.functional as F

from srflow.training.sample_losses import texture_difference


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
