"""The contract of a flow layer, kept by every layer of SRFlow, by one that is new to it, and by chains of them.

And what each layer of SRFlow computes.
"""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from flows import CONFIG, seeded
from torch.autograd.functional import jacobian

from baselines.rrdb import RRDBConfig
from srbench.interfaces import SRBenchError
from srflow import SRFlow
from srflow.affine import ActNorm, AffineNetwork
from srflow.encoder import Encoder
from srflow.features import Features, FeatureSize
from srflow.flow import ConditionalFlow, FlowStep, Level
from srflow.layers import AffineCoupling, AffineInjector, Chain, ChannelMixing, FlowLayer, Split, Squeeze
from srflow.reversible import encode_reversibly
from srflow.tiled_decode import TiledDecoder

CHANNELS, WIDTH, SIDE = 6, 5, 4
SIZE = FeatureSize(3, 3, Fraction(1))


class Shear(FlowLayer):
    """z = x but for the last channel, which gets a learned blur of the first, and LR features, and is scaled."""

    halo = 2

    def __init__(self, features):
        super().__init__()
        self.blur = torch.nn.Parameter(0.1 * torch.randn(1, 1, 5, 5))
        self.project = torch.nn.Parameter(0.1 * torch.randn(1, features, 3, 3))
        self.log_scale = torch.nn.Parameter(torch.zeros(()))

    def condition(self, features):
        return (F.conv2d(features.own, self.project, padding=1),)

    def initialize(self, x, features):
        changed = x[:, -1:] + self._shift(x, self.condition(features))
        self.log_scale.fill_(-changed.std().log())
        return super().initialize(x, features)

    def _shift(self, x, condition):
        return F.conv2d(x[:, :1], self.blur, padding=2) + condition[0]

    def forward(self, x, condition):
        changed = (x[:, -1:] + self._shift(x, condition)) * self.log_scale.exp()
        log_det = self.log_scale * x[0, 0].numel()
        return torch.cat([x[:, :-1], changed], 1), log_det.expand(len(x))

    def inverse(self, z, condition):
        changed = z[:, -1:] * (-self.log_scale).exp() - self._shift(z, condition)
        return torch.cat([z[:, :-1], changed], 1)


LAYERS = {
    "squeeze": Squeeze,
    "mixing": lambda: ChannelMixing(CHANNELS),
    "injector": lambda: AffineInjector(CHANNELS, SIZE, WIDTH),
    "coupling": lambda: AffineCoupling(CHANNELS, SIZE, WIDTH),
    "split": lambda: Split(CHANNELS),
    "bounded split": lambda: Split(CHANNELS, 0.3),
    "new": lambda: Shear(SIZE.own),
    "step": lambda: FlowStep(CHANNELS, SIZE, WIDTH),
    "chain of new ones": lambda: Chain(Shear(SIZE.own), ChannelMixing(CHANNELS), Shear(SIZE.own)),
    "chain of chains": lambda: Chain(Split(CHANNELS), Chain(Squeeze(), Split(4 * CHANNELS, 0.3))),
}
SAME_SIZE = [name for name in LAYERS if name not in ("squeeze", "chain of chains")]


def randomised(layer):
    """Move every parameter away from zero and identity."""
    generator = seeded(7)
    for parameter in layer.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return layer.double()


def build(name):
    torch.manual_seed(3)
    return randomised(LAYERS[name]())


def random(seed, *shape):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def features(batch, side=SIDE):
    return Features(random(2, batch, SIZE.own, side, side), random(4, batch, SIZE.stacked, side, side))


def image(batch, side=SIDE):
    return random(5, batch, CHANNELS, side, side)


@pytest.fixture(params=LAYERS)
def layer(request):
    return build(request.param)


def test_inverse(layer):
    x, condition = image(3), layer.condition(features(3))
    z, _ = layer(x, condition)
    assert not torch.equal(z, x)
    torch.testing.assert_close(layer.inverse(z, condition), x, rtol=0, atol=1e-10)
    elsewhere = 1.1 * z + 0.1
    back, _ = layer(layer.inverse(elsewhere, condition), condition)
    torch.testing.assert_close(back, elsewhere, rtol=0, atol=1e-10)


def test_log_determinant_is_the_jacobians(layer):
    x, condition = image(1), layer.condition(features(1))
    _, log_det = layer(x, condition)
    matrix = jacobian(lambda flat: layer(flat.view_as(x), layer.condition(features(1)))[0].flatten(), x.flatten())
    assert log_det.shape == (1,)
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(matrix).logabsdet, rtol=1e-9, atol=1e-9)


def test_images_of_a_batch_do_not_meet(layer):
    x, condition = image(3), layer.condition(features(3))
    changed = x.clone()
    changed[1] += 1
    (z, log_det), (other, other_log_det) = layer(x, condition), layer(changed, condition)
    for i in (0, 2):
        torch.testing.assert_close(z[i], other[i], rtol=0, atol=1e-12)
        torch.testing.assert_close(log_det[i], other_log_det[i], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(z[1], other[1])


def test_one_condition_serves_a_batch(layer):
    x, condition = image(3), layer.condition(features(1))
    together, log_det = layer(x, condition)
    assert log_det.shape == (3,)
    for i in range(3):
        alone, share = layer(x[i : i + 1], condition)
        torch.testing.assert_close(together[i], alone[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(log_det[i], share[0], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_initialize_returns_the_output(layer):
    x = 3 * image(4) + 1
    z = layer.initialize(x, features(4))
    torch.testing.assert_close(z, layer(x, layer.condition(features(4)))[0], rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("name", ["mixing", "new", "step", "chain of new ones"])
def test_initialize_sets_parameters(name):
    """Every layer of a chain from the output of the one before: in the end the scaled channels have deviation 1."""
    layer = build(name)
    layer.initialize(100 * image(8) + 7, features(8))
    z, _ = layer(100 * image(8) + 7, layer.condition(features(8)))
    assert z[:, -1].std().item() == pytest.approx(1, rel=0.5)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in SAME_SIZE if name != "mixing"])
def test_a_halo_is_as_far_as_a_layer_sees(name):
    """A pixel changed further away than the halo changes nothing, in the input as in the features."""
    layer = build(name)
    assert layer.halo > 0
    side = 2 * layer.halo + 3

    def inverse(changed):
        maps = [image(1, side), *features(1, side)]
        for part in maps:
            part[..., 0] += changed
        return layer.inverse(maps[0], layer.condition(Features(*maps[1:])))[..., layer.halo + 1 :]

    torch.testing.assert_close(inverse(0.0), inverse(1.0), rtol=0, atol=1e-13)


def test_the_halo_of_a_chain_is_that_of_all_its_layers():
    assert build("chain of new ones").halo == 4
    assert build("chain of chains").halo == 2


def test_a_chain_with_parameters_of_its_own_is_refused():
    """Reversible training would give them no gradient."""

    class Scaled(Chain):
        def __init__(self, *layers):
            super().__init__(*layers)
            self.factor = torch.nn.Parameter(torch.ones(()))

    with pytest.raises(
        SRBenchError, match=r"Scaled\.factor: a chain has no parameters of its own; put it into a layer"
    ):
        Scaled(Squeeze())


def test_reversible(layer):
    """Without stored activations, the values and gradients of the layer."""
    flow, found = ConditionalFlow([Level(layer)]), []
    for encode in (
        lambda x, maps: flow.encode(x, flow.conditions([maps])),
        lambda x, maps: encode_reversibly(flow, x, [maps]),
    ):
        sources = [image(2), *features(2), *layer.parameters()]
        for source in sources:
            source.requires_grad_()
        latents, log_det = encode(sources[0], Features(*sources[1:3]))
        loss = log_det.sum() + sum((random(6, *z.shape) * z).sum() for z in latents)
        found.append([loss, *torch.autograd.grad(loss, sources, allow_unused=True)])
    for stored, rebuilt in zip(*found, strict=True):
        torch.testing.assert_close(rebuilt, stored, rtol=1e-8, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("tile", [4, 8])
@pytest.mark.parametrize("name", SAME_SIZE)
def test_tiles(name, tile):
    """Decoded in tiles, a layer that works at LR size gives what it gives at once."""
    layer = build(name)
    encoder = randomised(Encoder(RRDBConfig(2, SIZE.own, 2, 1), (0,)))
    flow = ConditionalFlow([Level(layer), Level(Squeeze())])
    lr = torch.rand((1, 3, 24, 8), generator=seeded(1), dtype=torch.float64)
    conditions = flow.conditions(encoder(lr))
    latents, _ = flow.encode(random(5, 2, CHANNELS, 24, 8), conditions)
    latents = [z + 0.1 * random(8, *z.shape) for z in latents]
    tiled = TiledDecoder(flow, encoder, lr, tile).decode(latents)
    torch.testing.assert_close(tiled, flow.decode(latents, conditions), rtol=0, atol=1e-10)


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
    shift, scale = network.affine(network.lr_term(features(2)))
    assert torch.equal(shift, torch.zeros_like(shift))
    torch.testing.assert_close(scale, torch.full_like(scale, 0.880897), rtol=1e-6, atol=0)


def test_a_network_is_the_papers_stack_of_layers():
    """One convolution of kept channels and both kinds of features, written out without any folding."""
    torch.manual_seed(1)
    network, given = randomised(AffineNetwork(SIZE, 3, WIDTH, CHANNELS, 0.1)), features(2)
    kept = image(2)[:, :3]
    first = torch.cat([network.first, network.features.own, network.features.stacked], 1)
    hidden = F.relu(network.norm_first(F.conv2d(torch.cat([kept, *given], 1), first, padding=1)))
    shift, scale = network.last(F.relu(network.norm_mix(network.mix(hidden)))).chunk(2, 1)
    found = network.affine(network.lr_term(given), kept)
    torch.testing.assert_close(found.shift, -shift)
    torch.testing.assert_close(found.scale, torch.sigmoid(scale + 2) + 0.1)


def test_a_mixing_is_an_actnorm_and_a_convolution():
    layer, x = randomised(ChannelMixing(CHANNELS)), image(2)
    torch.testing.assert_close(layer(x)[0], F.conv2d(layer.norm(x), layer.weight[:, :, None, None]))


def test_the_inverse_of_a_singular_mixing_is_an_error_and_in_training_nan():
    layer, x = ChannelMixing(CHANNELS), image(2).float()
    torch.nn.init.zeros_(layer.weight[0])
    with torch.no_grad(), pytest.raises(torch.linalg.LinAlgError):
        layer.eval().inverse(x)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            assert layer.train().inverse(x).isnan().all()


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


def test_a_flow_of_ones_own_may_split_at_every_level_but_the_last():
    levels = [Level(Squeeze(), Split(12)), Level(Squeeze(), Split(24)), Level(Squeeze(), ChannelMixing(48))]
    model = SRFlow(CONFIG, ConditionalFlow(levels)).eval()
    assert model.sample(torch.rand(3, 4, 6), 2, generator=seeded()).shape == (2, 3, 16, 24)
