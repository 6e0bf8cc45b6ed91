"""Every layer in float64: the inverse, the log-determinant against autograd's Jacobian, independence in the batch."""

from fractions import Fraction

import torch
import torch.nn.functional as F

from srflow.affine import ActNorm, AffineNetwork
from srflow.features import Features, FeatureSize
from srflow.layers import AffineCoupling, ChannelMixing, Split, Squeeze

CHANNELS, WIDTH, SIDE = 6, 5, 4
SIZE = FeatureSize(2, 3, Fraction(1))


def randomised(layer):
    """Move every parameter away from zero and identity."""
    generator = torch.Generator().manual_seed(7)
    for parameter in layer.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.2 * noise
    return layer.double()


def features(batch, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return Features(
        *(
            torch.randn((batch, c, SIDE, SIDE), generator=generator, dtype=torch.float64)
            for c in (SIZE.own, SIZE.stacked)
        )
    )


def image(batch):
    return torch.randn((batch, CHANNELS, SIDE, SIDE), generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def test_squeeze_order():
    """Output channel 4c + 2*dy + dx holds the pixel (2i + dy, 2j + dx) of channel c."""
    x = torch.arange(2 * 4 * 4.0).view(1, 2, 4, 4)
    z, _ = Squeeze()(x)
    for channel in range(2):
        for dy in range(2):
            for dx in range(2):
                assert torch.equal(z[0, 4 * channel + 2 * dy + dx], x[0, channel, dy::2, dx::2])


def test_actnorm_initialisation_normalises():
    layer, x = ActNorm(CHANNELS).double(), 3 * image(4) + 2
    layer.initialize(x)
    z = layer(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(CHANNELS, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(
        z.var((0, 2, 3), correction=0), torch.ones(CHANNELS, dtype=torch.float64), rtol=0, atol=1e-4
    )


def test_actnorm_initialisation_survives_a_constant_channel():
    layer, x = ChannelMixing(CHANNELS), image(2).float()
    x[:, 0] = 0.5
    layer.initialize(x, features(2))
    assert all(parameter.isfinite().all() for parameter in layer.parameters())
    torch.testing.assert_close(layer.inverse(layer(x)[0]), x, rtol=1e-4, atol=1e-4)


def test_networks_start_as_a_fixed_contraction():
    """Zero-initialised last convolutions: no shift, and the scale sigmoid(2) + 0.0001 everywhere."""
    network = AffineNetwork(SIZE, 0, WIDTH, CHANNELS, 1e-4).double()
    centre, scale = network.affine(network.share(features(2)))
    assert torch.equal(centre, torch.zeros_like(centre))
    torch.testing.assert_close(scale, torch.full_like(scale, 0.880897), rtol=1e-6, atol=0)


def test_a_network_is_the_papers_stack_of_layers():
    """One convolution of kept channels and both kinds of features, written out without any folding."""
    torch.manual_seed(1)
    network, given = randomised(AffineNetwork(SIZE, 3, WIDTH, CHANNELS, 0.1)), features(2)
    kept = image(2)[:, :3]
    first = torch.cat([network.first, network.features.own, network.features.stacked], 1)
    hidden = F.relu(network.norm_first(F.conv2d(torch.cat([kept, *given], 1), first, padding=1)))
    shift, scale = network.last(F.relu(network.norm_mix(network.mix(hidden)))).chunk(2, 1)
    found = network.affine(network.share(given), kept)
    torch.testing.assert_close(found.centre, -shift)
    torch.testing.assert_close(found.scale, torch.sigmoid(scale + 2) + 0.1)


def test_a_mixing_is_an_actnorm_and_a_convolution():
    layer, x = randomised(ChannelMixing(CHANNELS)), image(2)
    torch.testing.assert_close(layer(x)[0], F.conv2d(layer.norm(x), layer.weight[:, :, None, None]))


def test_the_scale_floor_bounds_the_inverse():
    """However negative the network's output, the inverse multiplies by 1/floor at most."""
    layer, x = AffineCoupling(CHANNELS, SIZE, WIDTH, 0.2).double(), image(1)
    torch.nn.init.constant_(layer.network.last.bias, -100.0)
    condition = layer.condition(features(1))
    back = layer.inverse(x, condition)[:, CHANNELS // 2 :]
    torch.testing.assert_close(back, x[:, CHANNELS // 2 :] / 0.2 + 100)
    torch.testing.assert_close(layer(layer.inverse(x, condition), condition)[0], x)


def test_the_deviation_of_a_bounded_split_is_bounded():
    layer, x = Split(CHANNELS, 2.0).double(), image(1)
    torch.nn.init.constant_(layer.prior.bias, 50.0)
    grown = layer.inverse(x)[:, CHANNELS // 2 :] - 50
    torch.testing.assert_close(grown, x[:, CHANNELS // 2 :] * torch.exp(torch.tensor(2.0, dtype=torch.float64)))
