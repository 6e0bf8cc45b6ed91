"""The bijection that bounds samples, and the model with it."""

import math
from dataclasses import replace

import flows
import pytest
import torch

from srflow.model import SRFlow
from srflow.value_range import bounded, unbounded

CONFIG = replace(flows.CONFIG, scale_floor=0.5, log_deviation_bound=3.0, consistency="residual", range_margin=0.05)


def test_it_is_inverted_with_its_jacobian_and_leaves_images_alone():
    u = torch.linspace(-0.4, 1.4, 181, dtype=torch.float64)[None]
    x = bounded(u, 0.1)
    assert ((x > -0.1) & (x < 1.1)).all()
    within = (u >= 0) & (u <= 1)
    assert torch.equal(x[within], u[within])
    assert (x.diff() > 0).all(), "no two values become one"
    back, log_det = unbounded(x, 0.1)
    torch.testing.assert_close(back, u)
    jacobian = torch.autograd.functional.jacobian(lambda values: unbounded(values, 0.1)[0], x)
    torch.testing.assert_close(log_det, jacobian[0, :, 0].logdet()[None])


def test_values_outside_count_as_those_at_the_end():
    values, log_det = unbounded(torch.tensor([[-7.0, 0.5, 9.0]]), 0.05)
    assert values.isfinite().all()
    assert log_det.isfinite().all()
    assert values[0, 1] == 0.5


@pytest.fixture
def model():
    """Random weights, so that samples at a high temperature run away."""
    torch.manual_seed(0)
    model = SRFlow(CONFIG).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def test_samples_stay_near_the_range_and_are_the_same_in_tiles(model):
    lr = torch.rand(3, 12, 14, dtype=torch.float64)

    def drawn(**how):
        return model.sample(lr, 2, temperature=30.0, generator=torch.Generator().manual_seed(0), **how)

    latents, _ = model.given(lr).encode(torch.rand(1, 3, 48, 56, dtype=torch.float64))
    wild = model.given(lr).decode([30 * torch.randn_like(z) for z in latents])
    assert wild.min() >= -0.05
    assert wild.max() <= 1.05
    torch.testing.assert_close(drawn(tile=4), drawn())
    model.config = replace(CONFIG, range_margin=None)
    assert model.given(lr).decode([30 * torch.randn_like(z) for z in latents]).abs().max() > 2, "they would run away"


@pytest.mark.parametrize(("spread", "clamped"), [(1e-5, False), (1.0, True)])
def test_latents_return_unless_values_leave_the_range_far(model, spread, clamped):
    """Beyond 7.25 margins of 0.05, they are those of the clamped values."""
    lr = torch.rand(3, 4, 4, dtype=torch.float64)
    latents, _ = model.given(lr).encode(torch.rand(1, 3, 16, 16, dtype=torch.float64))
    drawn = [z + spread * torch.randn_like(z) for z in latents]
    again, _ = model.given(lr).encode(model.given(lr).decode(drawn))
    model.config = replace(CONFIG, range_margin=None)
    values = model.given(lr).decode(drawn)
    reach = 0.05 * math.atanh(1 - 1e-6)
    assert bool((values != values.clamp(-reach, 1 + reach)).any()) == clamped
    expected = model.given(lr).encode(values.clamp(-reach, 1 + reach))[0]
    torch.testing.assert_close(again, expected, rtol=1e-6, atol=1e-6)
    assert all(torch.allclose(*pair, atol=1e-6) for pair in zip(again, drawn, strict=True)) != clamped


def test_the_density_counts_it(model):
    """HR in the margin: the change of variables against the Jacobian of the whole encoder."""
    lr = torch.rand(3, 2, 2, dtype=torch.float64)
    hr = (torch.rand(1, 3, 8, 8, dtype=torch.float64) * 1.06 - 0.03).clamp(-0.04, 1.04)

    def latents(image):
        return torch.cat([z.flatten() for z in model.given(lr, gradients=True).encode(image.view_as(hr))[0]])

    jacobian = torch.autograd.functional.jacobian(latents, hr.flatten())
    torch.testing.assert_close(model.given(lr).encode(hr)[1][0], jacobian.slogdet().logabsdet)
    torch.testing.assert_close(model.given(lr).decode(model.given(lr).encode(hr)[0]), hr)
    plain = model.given(lr[None], gradients=True).bits_per_dimension(hr)
    model.reversible = True
    torch.testing.assert_close(model.bits_per_dimension(lr[None], hr), plain)
