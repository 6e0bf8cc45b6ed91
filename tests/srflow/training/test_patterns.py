"""Edges on a grid, stripes of two pixels and grain: where they are seen, and that losses remove them."""

import math

import pytest
import torch
from flows import stripes

from srflow.training.grid_loss import edges_on_grid, grid_difference
from srflow.training.sample_losses import spectrum_difference


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


def test_spectra_differ_by_stripes_by_grain_and_by_what_is_missing():
    """In either direction, and not by the place of the detail."""
    plain, other = (0.02 * noise(seed, batch=8, side=128) + 0.5 for seed in (1, 2))
    least = spectrum_difference(plain, other)
    assert least < 0.06
    striped = plain + lines(2, 1, 4 / 255, 128)
    assert spectrum_difference(striped, other) > least + 0.5
    assert spectrum_difference(plain, striped) > least + 0.5
    for amount in (0.5, 2):
        found = spectrum_difference(amount * noise(), noise())
        torch.testing.assert_close(found, torch.tensor(2 * math.log10(2)), atol=0.01, rtol=0)
    grain = 0.02 * torch.cos(2 * torch.pi / 3 * torch.arange(128)).expand(8, 3, 128, 128)
    assert spectrum_difference(plain + grain, other) > least + 0.02
    assert stripes(plain + grain).mean(0)[0] < 0.1, "no stripe, and yet a pattern"


def test_rounding_is_no_stripe_and_descending_removes_some():
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert stripes(flat + lines(2, 0, 0.01 / 255, 64)).max() < 0.1
    plain = 0.02 * noise(1, side=64) + 0.5
    image = (0.02 * noise(2, side=64) + 0.5 + lines(2, 0, 4 / 255, 64)).requires_grad_()
    before = stripes(image)[0, 0].item()
    step = torch.optim.Adam([image], lr=1e-3)
    for _ in range(40):
        step.zero_grad()
        spectrum_difference(image, plain).backward()
        step.step()
    assert stripes(image)[0, 0] < 0.5 * before


def test_gradients_are_finite_where_nothing_varies():
    flat = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    (grid_difference(flat, noise(side=64)[:1], 8) + spectrum_difference(flat, noise(side=64)[:1])).backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
