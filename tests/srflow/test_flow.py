"""The whole flow: inverse, Jacobian, likelihood, sampling, sizes."""

import math

import pytest
import torch
from flows import pair, small_flow
from torch.autograd.functional import jacobian

from srflow import SRFlow
from srflow.frame import ImageSizeError


@pytest.mark.parametrize(("scale", "size"), [(2, (2, 2)), (4, (4, 6)), (8, (2, 4))])
def test_decode_undoes_encode(scale, size):
    model = small_flow(scale).double()
    hr, lr = pair(scale, *size)
    latents, _ = model.given(lr).encode(hr)
    torch.testing.assert_close(model.given(lr).decode(latents), hr, rtol=0, atol=1e-9)
    assert [latent.shape[1:] for latent in latents] == model.flow.latent_shapes(*hr.shape[-2:])
    assert sum(latent[0].numel() for latent in latents) == hr[0].numel()


@pytest.mark.parametrize(("scale", "number"), [(2, 1), (4, 2), (8, 3)])
def test_all_levels_but_the_last_two_split(scale, number):
    """Two levels at 2x, three at 4x, four at 8x; the deepest latent comes last."""
    shapes = small_flow(scale).flow.latent_shapes(16, 16)
    assert len(shapes) == number
    assert shapes[-1][1:] == (16 // (2 * scale), 16 // (2 * scale))


def test_log_determinant_is_the_jacobians():
    model = small_flow(4).double()
    hr, lr = pair(4, 2, 2, batch=1)
    given = model.given(lr, gradients=True)

    def flat_latents(flat):
        return torch.cat([z.flatten() for z in given.encode(flat.view_as(hr))[0]])

    matrix = jacobian(flat_latents, hr.flatten(), vectorize=True)
    torch.testing.assert_close(given.encode(hr)[1][0], torch.linalg.slogdet(matrix).logabsdet, rtol=1e-8, atol=1e-8)


def test_log_prob_is_the_change_of_variables():
    model = small_flow(4).double()
    hr, lr = pair(4, 2, 4)
    latents, log_det = model.given(lr).encode(hr)
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = log_det + sum(normal.log_prob(z).flatten(1).sum(1) for z in latents)
    torch.testing.assert_close(model.given(lr).log_prob(hr), expected)
    torch.testing.assert_close(model.log_prob(lr, hr), expected)
    torch.testing.assert_close(model.log_prob(lr[1], hr[1:]), expected[1:])
    torch.testing.assert_close(model.given(lr).bits_per_dimension(hr), -expected / math.log(2) / hr[0].numel())
    torch.testing.assert_close(model.bits_per_dimension(lr, hr), model.given(lr).bits_per_dimension(hr))


def test_sizes_that_do_not_belong_together_are_refused():
    with pytest.raises(ImageSizeError, match=r"HR 16x16 does not match LR 6x4.*24x16"):
        small_flow(4).given(torch.rand(1, 3, 4, 6)).encode(torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize("consistency", ["none", "residual"])
@pytest.mark.parametrize(
    ("lr", "hr", "expected"),
    [((3, 4, 6), (3, 16, 24), "n, 3"), ((1, 3, 4, 6), (2, 1, 16, 24), "n, 3"), ((2, 3, 4, 6), (1, 3, 16, 24), "2, 3")],
)
def test_hr_without_its_batch_dimension_is_refused(consistency, lr, hr, expected):
    """Broadcasting would return a plausible number for each channel, or for each LR image."""
    given = small_flow(4, consistency=consistency, range_margin=0.05).given(torch.rand(lr))
    with pytest.raises(ImageSizeError, match=rf"HR has shape \({hr[0]}, .*; it has to be \({expected}, 16, 24\)"):
        given.log_prob(torch.rand(hr))


@pytest.mark.slow
def test_a_sample_does_not_depend_on_the_threads():
    model, lr = SRFlow.from_pretrained(4), torch.rand(3, 16, 18, generator=torch.Generator().manual_seed(0))
    before, samples = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        samples.append(model.sample(lr, 2, generator=torch.Generator().manual_seed(1)))
    torch.set_num_threads(before)
    torch.testing.assert_close(*samples, rtol=0, atol=1e-4)
