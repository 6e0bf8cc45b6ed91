"""The rectified flow against a mixture of Gaussians, whose velocity is known; its samples, tiles and sizes."""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt

import pytest
import torch

from baselines.rectified_flow import RectifiedFlow, RectifiedFlowConfig, integrate
from baselines.rrdb import RRDBConfig
from srbench.images import ImageError
from srbench.metrics import lr_psnr
from srbench.models.inference import SamplingParameters, upscale

MEANS, DEVIATIONS, SHARES = (-1.5, 0.8), (0.2, 0.5), (0.35, 0.65)


def size(scale=4, **changes):
    config = RectifiedFlowConfig(RRDBConfig(scale, 4, 2, 1), (8, 12, 8), (2, 3, 2), deviation=0.1, sampling_steps=3)
    return replace(config, **changes)


def network(config=None, dtype=torch.float32):
    """A network with random weights everywhere, also where a new one has zeros."""
    torch.manual_seed(0)
    made = RectifiedFlow(size() if config is None else config).to(dtype).eval()
    for parameter in made.velocity.parameters():
        parameter.data.copy_(0.15 * torch.randn(parameter.shape, dtype=dtype))
    return made


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def velocity_of_mixture(points, time):
    """E[r - e | (1 - t) e + t r = x] for e of N(0, 1) and r of the mixture, at every x by itself."""
    weights, velocities = [], []
    for mean, deviation, share in zip(MEANS, DEVIATIONS, SHARES, strict=True):
        variance = (1 - time) ** 2 + (time * deviation) ** 2
        away = (points - time * mean) / variance
        weights.append(log(share) - 0.5 * variance.log() - away**2 * variance / 2)
        velocities.append(mean + time * deviation**2 * away - (1 - time) * away)
    return (torch.stack(weights).softmax(0) * torch.stack(velocities)).sum(0)


def mixture(number, generator):
    means, deviations = torch.tensor(MEANS, dtype=torch.float64), torch.tensor(DEVIATIONS, dtype=torch.float64)
    component = torch.multinomial(torch.tensor(SHARES), number, replacement=True, generator=generator)
    return means[component] + deviations[component] * torch.randn(number, generator=generator, dtype=torch.float64)


def test_the_sampler_makes_the_mixture_of_noise():
    """Quantiles of 40,000 samples against those of as many draws; too few steps miss the narrow component."""

    def velocity(points, time):
        return velocity_of_mixture(points, torch.tensor(time, dtype=torch.float64))

    noise, drawn = torch.randn(40_000, generator=seeded(), dtype=torch.float64), mixture(40_000, seeded(1))
    quantiles = torch.tensor([0.02, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95], dtype=torch.float64)
    expected = drawn.quantile(quantiles)
    torch.testing.assert_close(integrate(velocity, noise, 200).quantile(quantiles), expected, rtol=0, atol=0.03)
    assert (integrate(velocity, noise, 1).quantile(quantiles) - expected).abs().max() > 0.3


def test_half_the_length_of_steps_makes_at_most_a_quarter_of_the_error():
    """Against the exact solution: for one Gaussian N(m, s^2), noise e becomes m + s e. Euler's rule: a half."""

    def velocity(points, time):
        variance = (1 - time) ** 2 + (0.4 * time) ** 2
        return 1.5 + (0.16 * time - (1 - time)) / variance * (points - 1.5 * time)

    noise = torch.linspace(-3, 3, 31, dtype=torch.float64)
    errors = [(integrate(velocity, noise, steps) - (1.5 + 0.4 * noise)).abs().max().item() for steps in (20, 40, 80)]
    assert errors[0] < 0.02
    assert errors[0] / errors[1] > 3.7
    assert errors[1] / errors[2] > 3.7


def test_the_loss_is_least_at_the_velocity_of_the_mixture():
    """Its gradient there is 0 within chance, in a shift and in a slope; away from it, it is that of the square."""

    class Known(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
            self.slope = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

        def forward(self, points, times, features, base):
            exact = velocity_of_mixture(points, times[:, None, None, None])
            return exact + self.shift + self.slope * points

    model = network(dtype=torch.float64)
    model.velocity = known = Known()
    generator = seeded()
    lr = torch.rand(64, 3, 4, 4, generator=generator, dtype=torch.float64)
    residual = mixture(64 * 3 * 16 * 16, generator).view(64, 3, 16, 16)
    hr = model.encode(lr)[1].detach() + model.config.deviation * residual
    noise = torch.randn(hr.shape, generator=generator, dtype=torch.float64)
    times = torch.randn(64, generator=generator, dtype=torch.float64).sigmoid()
    error = model.flow_matching(lr, hr, noise, times)
    gradients = torch.autograd.grad(error, [known.shift, known.slope])
    chance = 4 * 2 * sqrt(error.item() / hr.numel())
    assert max(map(abs, gradients)) < 1.5 * chance
    known.shift.data.fill_(0.3)
    away = model.flow_matching(lr, hr, noise, times)
    assert (away - error).item() == pytest.approx(0.09, abs=0.3 * chance)
    assert torch.autograd.grad(away, known.shift)[0].item() == pytest.approx(0.6, abs=1.5 * chance)


def test_the_gradient_of_the_network_is_that_of_finite_differences():
    model = network(dtype=torch.float64)
    generator = seeded()
    lr = torch.rand(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    hr, noise = (torch.rand(2, 3, 16, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    times = torch.tensor([0.2, 0.7], dtype=torch.float64)
    parameters = [*model.velocity.parameters()]
    directions = [torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in parameters]

    def moved(length):
        for each, direction in zip(parameters, directions, strict=True):
            each.data.add_(direction, alpha=length)

    gradients = torch.autograd.grad(model.flow_matching(lr, hr, noise, times), parameters)
    slope = sum(float((one * other).sum()) for one, other in zip(gradients, directions, strict=True))
    moved(1e-6)
    above = model.flow_matching(lr, hr, noise, times).item()
    moved(-2e-6)
    below = model.flow_matching(lr, hr, noise, times).item()
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-6)
    assert all(gradient.abs().max() > 0 for gradient in gradients), "every parameter counts"
    assert all(parameter.grad is None for parameter in model.rrdb.parameters())


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("tile", [1, 5, 16])
def test_tiles_give_the_samples_of_the_whole_image(scale, tile):
    """In float64, where they agree to rounding: no pixel of a tile depends on one beyond the halo."""
    model = network(size(scale), torch.float64)
    lr = torch.rand(3, 9 * 8 // scale, 37 if scale > 2 else 61, generator=seeded(), dtype=torch.float64)
    fractions = []
    [whole] = model.samples(lr, generator=seeded())
    [tiled] = model.samples(lr, generator=seeded(), tile=tile, progress=fractions.append)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-9)
    assert sum(fractions) == pytest.approx(1)
    assert len(fractions) > 3


def test_the_halo_is_as_small_as_it_can_be():
    """A pixel that is a halo away changes the velocity; one that is farther does not."""
    config = size(8, widths=(4, 4, 4), depths=(2, 3, 4))
    model = network(config, torch.float64)
    side = 2 * config.halo + 3
    features = torch.zeros(1, 4, 1, side, dtype=torch.float64)
    points, base = (torch.randn(1, 3, 8, 8 * side, generator=seeded(seed), dtype=torch.float64) for seed in (0, 1))
    times = torch.tensor([0.5], dtype=torch.float64)
    before = model.velocity(points, times, features, base)
    points[..., : 8 * 1] += 1
    changed = (model.velocity(points, times, features, base) - before).abs().amax((0, 1, 2)).view(side, 8).amax(1)
    assert changed[config.halo] > 0
    assert changed[config.halo + 1 :].max() == 0


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_sample_depends_on_neither_the_number_of_samples_nor_the_padding(scale):
    model = network(size(scale))
    lr = torch.rand(3, 5, 7, generator=seeded())
    samples = model.sample(lr, 3, generator=seeded())
    assert samples.shape == (3, 3, 5 * scale, 7 * scale)
    assert torch.equal(model.sample(lr, 1, generator=seeded())[0], samples[0])
    assert not torch.equal(samples[0], samples[1])
    assert torch.equal(model(lr[None])[0], samples[0]), "one sample at temperature 1, seeded with 0"
    assert torch.equal(model(torch.stack([lr, lr]), generator=seeded()), samples[:2])
    assert torch.equal(model.sample(lr, 2, temperature=0.0)[0], model.sample(lr, temperature=0.0)[0])


def test_samples_downscale_to_lr():
    model = network()
    lr = torch.rand(3, 12, 10, generator=seeded()) * 0.8 + 0.1
    for sample in model.sample(lr, 2, generator=seeded()):
        assert lr_psnr((sample.clamp(0, 1) * 255).byte(), (lr * 255).round().byte()) > 45


def test_steps_are_those_of_the_size_unless_others_are_asked_for():
    model, lr = network(), torch.rand(3, 8, 8, generator=seeded())
    three = model.sample(lr, generator=seeded())
    model.steps = 5
    assert not torch.equal(model.sample(lr, generator=seeded()), three)
    model.steps = 3
    assert torch.equal(model.sample(lr, generator=seeded()), three)


def test_what_is_no_image_is_refused():
    model = network()
    for shape in ((2, 4, 4), (1, 3, 4, 4)):
        with pytest.raises(ImageError, match="LR has shape"):
            model.sample(torch.rand(shape))
    with pytest.raises(ImageError, match="LR has shape"):
        model(torch.rand(3, 4, 4))
    output = upscale(model, "a", torch.rand(3, 4, 4), SamplingParameters(1.0, 2, 0), "cpu")
    assert output.images.shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"widths": ()}, "each level needs a width and a depth"),
        ({"depths": (1, 2)}, "each level needs a width and a depth"),
        ({"depths": (1, 0, 2)}, "depths are .* they have to be 1 to"),
        ({"deviation": 0.0}, "deviation is 0.0; it has to be finite and above 0"),
        ({"sampling_steps": 0}, "sampling_steps"),
    ],
)
def test_a_wrong_size_is_refused(changes, fault):
    with pytest.raises(ValueError, match=fault):
        size(**changes)


def test_levels_of_any_number():
    for widths in ((4,), (4, 6), (4, 4, 4, 4)):
        model = network(size(4, widths=widths, depths=(2,) * len(widths)), torch.float64)
        lr = torch.rand(3, 20, 26, generator=seeded(), dtype=torch.float64)
        [whole], [tiled] = (model.samples(lr, generator=seeded(), tile=tile) for tile in (None, 4))
        torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-9)
