"""Edges on a grid and stripes of two pixels: where they are seen, and that losses remove them."""

import pytest
import torch

from srbench.training.patterns import edges_on_grid, grid_difference, stripe_difference, stripes


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


def test_gradients_are_finite_where_nothing_varies():
    flat = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    (grid_difference(flat, noise(side=64)[:1], 8) + stripe_difference(flat, noise(side=64)[:1])).backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
