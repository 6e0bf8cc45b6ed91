"""Every layer in float64: the inverse, the log-determinant against autograd's Jacobian, independence in the batch."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch.autograd.functional import jacobian

from srflow.conditions import FirstConvolution
from srflow.flow import FlowStep, StepCondition, TransitionStep
from srflow.layers import (
    ActNorm,
    Affine,
    AffineCoupling,
    AffineInjector,
    Split,
    Squeeze,
    apply_network,
    to_affine,
)

CHANNELS, WIDTH, SIDE = 6, 5, 4


def randomised(layer):
    """Move every parameter away from zero and identity."""
    generator = torch.Generator().manual_seed(7)
    for parameter in layer.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.2 * noise
    return layer.double()


def random_affine(batch, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, CHANNELS, SIDE, SIDE)
    shift = torch.randn(shape, generator=generator, dtype=torch.float64)
    return Affine(shift, torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1)


def hidden(batch, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((batch, WIDTH, SIDE, SIDE), generator=generator, dtype=torch.float64)


def nothing(batch):
    return None


def both(batch):
    return StepCondition(random_affine(batch), hidden(batch))


LAYERS = {
    "squeeze": (Squeeze, nothing),
    "injector": (lambda: AffineInjector(CHANNELS, WIDTH), random_affine),
    "coupling": (lambda: AffineCoupling(CHANNELS, WIDTH), hidden),
    "split": (lambda: Split(CHANNELS), nothing),
    "bounded split": (lambda: Split(CHANNELS, 0.3), nothing),
    "transition": (lambda: TransitionStep(CHANNELS), nothing),
    "step": (lambda: FlowStep(CHANNELS, WIDTH, FirstConvolution(2, 2, WIDTH, Fraction(1))), both),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    build, condition = LAYERS[request.param]
    torch.manual_seed(3)
    return randomised(build()), condition


def picture(batch):
    return torch.randn((batch, CHANNELS, SIDE, SIDE), generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def test_inverse(layer):
    layer, condition = layer
    x = picture(3)
    z, _ = layer(x, condition(3))
    assert not torch.equal(z, x)
    torch.testing.assert_close(layer.inverse(z, condition(3)), x, rtol=0, atol=1e-10)
    elsewhere = 1.1 * z + 0.1
    back, _ = layer(layer.inverse(elsewhere, condition(3)), condition(3))
    torch.testing.assert_close(back, elsewhere, rtol=0, atol=1e-10)


def test_log_determinant_is_the_jacobians(layer):
    layer, condition = layer
    x = picture(1)
    _, log_det = layer(x, condition(1))
    matrix = jacobian(lambda flat: layer(flat.view_as(x), condition(1))[0].flatten(), x.flatten())
    assert log_det.shape == (1,)
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(matrix).logabsdet, rtol=1e-9, atol=1e-9)


def test_pictures_of_a_batch_do_not_meet(layer):
    layer, condition = layer
    x = picture(3)
    changed = x.clone()
    changed[1] += 1
    (z, log_det), (other, other_log_det) = layer(x, condition(3)), layer(changed, condition(3))
    for i in (0, 2):
        torch.testing.assert_close(z[i], other[i], rtol=0, atol=1e-12)
        torch.testing.assert_close(log_det[i], other_log_det[i], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(z[1], other[1])


def test_one_condition_serves_a_batch(layer):
    layer, condition = layer
    x = picture(3)
    together, log_det = layer(x, condition(1))
    assert log_det.shape == (3,)
    for i in range(3):
        alone, share = layer(x[i : i + 1], condition(1))
        torch.testing.assert_close(together[i], alone[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(log_det[i], share[0], rtol=1e-12, atol=1e-12)


def test_squeeze_order():
    """Output channel 4c + 2*dy + dx holds the pixel (2i + dy, 2j + dx) of channel c."""
    x = torch.arange(2 * 4 * 4.0).view(1, 2, 4, 4)
    z, _ = Squeeze()(x)
    for channel in range(2):
        for dy in range(2):
            for dx in range(2):
                assert torch.equal(z[0, 4 * channel + 2 * dy + dx], x[0, channel, dy::2, dx::2])


def test_actnorm_initialisation_normalises():
    layer, x = ActNorm(CHANNELS).double(), 3 * picture(4) + 2
    layer.initialize(x)
    z = layer(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(CHANNELS, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(
        z.var((0, 2, 3), correction=0), torch.ones(CHANNELS, dtype=torch.float64), rtol=0, atol=1e-4
    )


def test_actnorm_initialisation_survives_a_constant_channel():
    layer, x = TransitionStep(CHANNELS), picture(2).float()
    x[:, 0] = 0.5
    layer.norm.initialize(x)
    assert all(parameter.isfinite().all() for parameter in layer.parameters())
    torch.testing.assert_close(layer.inverse(layer(x)[0]), x, rtol=1e-4, atol=1e-4)


def test_networks_start_as_a_fixed_contraction():
    """Zero-initialised last convolutions: no shift, and the scale sigmoid(2) + 0.0001 everywhere."""
    weights = AffineInjector(CHANNELS, WIDTH).network.folded()
    centre, scale = to_affine(apply_network(torch.randn(2, WIDTH, SIDE, SIDE), weights), 1e-4)
    assert torch.equal(centre, torch.zeros_like(centre))
    torch.testing.assert_close(scale, torch.full_like(scale, 0.880897))


def test_a_transition_is_an_actnorm_and_a_convolution():
    layer, x = randomised(TransitionStep(CHANNELS)), picture(2)
    torch.testing.assert_close(layer(x)[0], F.conv2d(layer.norm(x), layer.mix.weight[:, :, None, None]))


def test_kept_constants_follow_the_parameters():
    """Without gradients inverses are computed once; a change in place, a load or a cast must not go unnoticed."""
    layer, x = TransitionStep(CHANNELS).double().eval(), picture(1)

    def inverse():
        with torch.no_grad():
            return layer.inverse(x)

    def expected():
        matrix = torch.linalg.inv(layer.mix.weight.detach())
        mixed = torch.einsum("ij,bjhw->bihw", matrix, x.to(matrix.dtype))
        return (mixed * (-layer.norm.log_scale).exp() - layer.norm.bias).detach()

    torch.testing.assert_close(inverse(), expected())
    kept = layer._kept["inverse"][1]
    inverse()
    assert layer._kept["inverse"][1] is kept
    with torch.no_grad():
        layer.mix.weight.mul_(2)
        layer.norm.log_scale.add_(0.1)
    torch.testing.assert_close(inverse(), expected())
    layer.load_state_dict(TransitionStep(CHANNELS).state_dict())
    torch.testing.assert_close(inverse(), expected())
    layer.norm.bias.data += 0.1
    layer.eval()
    torch.testing.assert_close(inverse(), expected())
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    layer.inverse(x).square().sum().backward()
    optimizer.step()
    torch.testing.assert_close(inverse(), expected())


def test_constants_carry_gradients_in_training():
    layer = TransitionStep(CHANNELS).double()
    with torch.no_grad():
        layer.inverse(picture(1))
    layer.inverse(picture(1)).sum().backward()
    assert layer.mix.weight.grad.abs().sum() > 0


def test_the_scale_floor_bounds_the_inverse():
    """However negative the network's output, the inverse multiplies by 1/floor at most."""
    layer, x = AffineCoupling(CHANNELS, WIDTH, 0.2).double(), picture(1)
    torch.nn.init.constant_(layer.network.last.bias, -100.0)
    back = layer.inverse(x, hidden(1))[:, CHANNELS // 2 :]
    torch.testing.assert_close(back, x[:, CHANNELS // 2 :] / 0.2 + 100)
    torch.testing.assert_close(layer(layer.inverse(x, hidden(1)), hidden(1))[0], x)


def test_the_deviation_of_a_bounded_split_is_bounded():
    layer, x = Split(CHANNELS, 2.0).double(), picture(1)
    torch.nn.init.constant_(layer.prior.bias, 50.0)
    grown = layer.inverse(x)[:, CHANNELS // 2 :] - 50
    torch.testing.assert_close(grown, x[:, CHANNELS // 2 :] * torch.exp(torch.tensor(2.0, dtype=torch.float64)))
