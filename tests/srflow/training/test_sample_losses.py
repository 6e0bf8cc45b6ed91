"""What the losses on samples see, and what they do not."""

import pytest
import torch
import torch.nn.functional as F

from srflow.training.sample_losses import (
    edges_on_grid,
    grid_difference,
    stripe_difference,
    stripes,
    texture_difference,
)


def noise(seed=0, batch=2, side=96):
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def lines(period, at, strength=0.2, side=96):
    """A darker column every ``period`` pixels, from column ``at`` on."""
    image = torch.zeros(1, 3, side, side)
    image[..., at::period] = -strength
    return image


@pytest.mark.parametrize("period", [4, 8])
def test_noise_has_no_grid_and_lines_have_one_where_they_lie(period):
    torch.testing.assert_close(edges_on_grid(noise(batch=8), period), torch.ones(2, period), atol=0.05, rtol=0)
    columns, rows = edges_on_grid(0.1 * noise(batch=8) + 0.5 + lines(period, period), period)
    assert set(columns.topk(2).indices.tolist()) == {0, period - 1}, "the edges of a line are left and right of it"
    assert columns.max() > 1.5
    assert rows.max() < 1.1
    torch.testing.assert_close(columns.mean(), torch.tensor(1.0))


def test_a_grid_is_as_strong_in_dim_images():
    image = 0.2 * noise(batch=8) + lines(8, 8) + 0.3
    torch.testing.assert_close(edges_on_grid(image, 8), edges_on_grid(image * 0.5, 8), atol=0.05, rtol=0)


def test_a_shared_grid_is_none_and_descending_removes_one():
    windows = 0.2 * noise(batch=8) + lines(8, 8) + 0.3
    assert grid_difference(windows, windows, 8) == 0
    plain = 0.1 * noise(1) + 0.5
    image = (0.1 * noise(2) + 0.5 + lines(8, 8, 0.05)).requires_grad_()
    before = grid_difference(image, plain, 8)
    step = torch.optim.Adam([image], lr=2e-3)
    for _ in range(20):
        step.zero_grad()
        grid_difference(image, plain, 8).backward()
        step.step()
    assert grid_difference(image, plain, 8) < 0.2 * before


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
    (
        texture_difference(features(flat), features(noise(side=64)[:1])) + grid_difference(flat, noise(side=64)[:1], 8)
    ).backward()
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


def test_stripes_are_found_where_they_are():
    """Noise has none; every second column darker by a level of 255 is a peak in the first number alone."""
    plain = 0.02 * noise(batch=8, side=128) + 0.5
    torch.testing.assert_close(stripes(plain).mean(0), torch.zeros(2), atol=0.15, rtol=0)
    columns, rows = stripes(plain + lines(2, 1, 4 / 255, 128)).mean(0)
    assert columns > 1.5
    assert abs(rows) < 0.15
    assert stripe_difference(plain + lines(2, 1, 4 / 255, 128), plain) > 0.7
    assert stripe_difference(plain, plain + lines(2, 1, 4 / 255, 128)) < 0.1, "only an excess is a fault"


def test_rounding_is_no_stripe_and_descending_removes_some():
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert stripes(flat + lines(2, 0, 0.01 / 255, 64)).max() < 0.1
    plain = 0.02 * noise(1, side=64) + 0.5
    image = (0.02 * noise(2, side=64) + 0.5 + lines(2, 0, 4 / 255, 64)).requires_grad_()
    before = stripe_difference(image, plain)
    step = torch.optim.Adam([image], lr=1e-3)
    for _ in range(20):
        step.zero_grad()
        stripe_difference(image, plain).backward()
        step.step()
    assert stripe_difference(image, plain) < 0.3 * before
