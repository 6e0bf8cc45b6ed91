"""CRPS, LPIPS energy and bits per dimension, beside the scoringrules package and what is known
of simulated posteriors."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import scoringrules
import torch
from flows import pair, small_flow

from srbench.metrics import MetricError, lpips, lpips_network
from srbench.metrics.lpips_network import Network, load_network, parts_of
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.proper_scores import bits_per_dimension, fair_crps, lpips_energy, lpips_pairs, pairwise_lpips
from srbench.weights.reading import read_tensors

SIMULATION = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "proper_scores.py"))
CPU = torch.device("cpu")


def images(n, *size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, *size), generator=generator, dtype=torch.int32).to(torch.uint8)


@pytest.fixture(scope="module")
def simulated():
    """Posteriors of 200 images of 24 pixels with 20 samples: means and noise."""
    generator = torch.Generator().manual_seed(0)
    return [SIMULATION["posterior"](generator, 24, 20) for _ in range(200)]


@pytest.fixture(scope="module")
def photograph():
    """Samples (4, 3, 65, 96), of which the second equals the first and the third differs from it
    in one value; and HR."""
    hr = images(1, 8, 12)[0].repeat_interleave(9, 1).repeat_interleave(8, 2)[:, :65]
    noisy = (hr.int() + images(2, 65, 96, seed=1).int() // 8).clamp(0, 255).to(torch.uint8)
    samples = torch.stack([noisy[0], noisy[0], noisy[0], noisy[1]])
    samples[2, 1, 30, 40] ^= 1
    return samples, hr


@pytest.mark.parametrize("n", [2, 3, 5, 8, 10, 16])
def test_fair_crps_is_that_of_scoringrules(n):
    samples, hr = images(n, 20, 30), images(1, 20, 30, seed=1)[0]
    samples[:, :, :5] //= 64  # ties
    expected = scoringrules.crps_ensemble(hr.double().numpy(), samples.double().numpy(), m_axis=0, estimator="fair")
    assert fair_crps(samples, hr) == pytest.approx(expected.mean(), rel=1e-12)
    assert fair_crps(samples.flip(0).transpose(2, 3), hr.transpose(1, 2)) == pytest.approx(expected.mean(), rel=1e-12)


def test_fair_crps_of_one_sample_is_the_mean_absolute_error():
    samples, hr = images(1, 20, 30), images(1, 20, 30, seed=1)[0]
    assert fair_crps(samples, hr) == pytest.approx((samples[0].double() - hr).abs().mean().item(), rel=1e-12)
    assert fair_crps(hr[None], hr) == 0


def test_sums_of_the_largest_differences_do_not_overflow():
    hr = torch.zeros((3, 2040, 1356), dtype=torch.uint8)
    assert fair_crps(torch.full_like(hr, 255)[None], hr) == 255


def test_fair_crps_is_lowest_at_the_temperature_of_the_posterior(simulated):
    """In data sets of 22 of 200 images."""
    scores = np.array([
        [fair_crps(*SIMULATION["drawn"](mean, noise[:9], temperature)) for temperature in SIMULATION["TEMPERATURES"]]
        for mean, noise in simulated
    ])  # fmt: skip
    random = np.random.default_rng(0)
    sets = [scores[random.choice(len(scores), 22, replace=False)].mean(axis=0) for _ in range(100)]
    assert np.sum(np.argmin(sets, axis=1) == SIMULATION["TEMPERATURES"].index(1)) >= 95


def test_fair_crps_does_not_depend_on_the_number_of_samples_as_the_plain_one_does(simulated):
    """Differences from 20 samples in standard errors over 200 images."""
    drawn = [SIMULATION["drawn"](*each, 1) for each in simulated]
    for score, is_fair in ((fair_crps, True), (SIMULATION["plain_crps"], False)):
        all_samples = np.array([score(*each) for each in drawn])
        for n in (2, 5, 10):
            difference = np.array([score(samples[:n], hr) for samples, hr in drawn]) - all_samples
            errors = difference.mean() / (difference.std(ddof=1) / len(drawn) ** 0.5)
            assert abs(errors) < 3.3 if is_fair else errors > 10


def test_pairwise_lpips_is_lpips_of_all_pairs(photograph, lpips_package):
    samples, hr = photograph
    distances, every = pairwise_lpips(samples, hr), torch.stack([hr, *samples])
    assert torch.equal(distances[0, 1:], LPIPS().distances(samples, hr))  # bit by bit, as a table shows both
    expected = torch.stack([lpips(every, image) for image in every])
    torch.testing.assert_close(distances, expected, rtol=1e-6, atol=1e-9)
    scaled = every.float() / 127.5 - 1
    with torch.no_grad():
        theirs = torch.stack([lpips_package(scaled, image[None]).flatten() for image in scaled])
    torch.testing.assert_close(distances, theirs.double(), rtol=0, atol=1e-5)
    assert torch.equal(distances, distances.T)
    assert not distances.diagonal().any()
    assert distances[1, 2] == 0  # equal samples
    assert 0 < distances[1, 3] < 1e-4  # a value that differs by one grey level


def test_scores_on_a_device(photograph, device):
    samples, hr = (images.to(device) for images in photograph)
    torch.testing.assert_close(pairwise_lpips(samples, hr), pairwise_lpips(*photograph), rtol=1e-4, atol=1e-6)
    assert fair_crps(samples, hr) == fair_crps(*photograph)
    model, lr = small_flow(4), torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(0))
    bits = bits_per_dimension(model, lr, hr.cpu()[:, :64])
    assert bits_per_dimension(model.to(device), lr.to(device), hr[:, :64]) == pytest.approx(bits, abs=1e-3)


def test_features_of_an_image_are_computed_once_unless_they_take_too_much_memory(photograph, monkeypatch):
    computed, features = [], Network.features
    monkeypatch.setattr(Network, "features", lambda *arguments: computed.append(1) or features(*arguments))
    whole = pairwise_lpips(*photograph)
    assert len(computed) == 5
    size = sum(layer.nbytes for layer in features(load_network(parts_of("alex"), CPU), photograph[1]))
    for held, count in ((4 * size, 5 + 1), (2 * size, 5 + 3 + 1), (0, 5 + 4 + 3 + 2 + 1)):
        computed.clear()
        monkeypatch.setattr(lpips_network, "HELD", held)
        assert torch.equal(pairwise_lpips(*photograph), whole)
        assert len(computed) == count


def test_lpips_energy_is_the_energy_score_of_weighted_features(photograph):
    """By scoringrules, of features that are multiplied by sqrt(w_c / (h w)) and written one after another."""
    samples, hr = photograph
    parts = parts_of("alex")
    heads = [head.flatten() for _, head in sorted(read_tensors(parts.heads).items())]
    with torch.no_grad():
        maps = [load_network(parts, CPU).features(image) for image in (hr, *samples)]
    vectors = [
        torch.cat([
            (each[0].double() * (head.double() / each[0, 0].numel()).sqrt()[:, None, None]).flatten()
            for each, head in zip(layers, heads, strict=True)
        ]).numpy()
        for layers in maps
    ]  # fmt: skip
    expected = scoringrules.es_ensemble(vectors[0], np.stack(vectors[1:]), estimator="fair")
    assert lpips_energy(pairwise_lpips(samples, hr)) == pytest.approx(expected, abs=1e-6)


def test_lpips_energy_is_lowest_at_the_temperature_of_the_posterior():
    """The sum over 22 images; ``benchmarks/proper_scores.py`` does this for 100 data sets."""
    generator = torch.Generator().manual_seed(0)
    posteriors = [SIMULATION["posterior"](generator, 64, 5) for _ in range(22)]
    scores = [
        sum(lpips_energy(pairwise_lpips(*SIMULATION["drawn"](*each, temperature))) for each in posteriors)
        for temperature in (0.6, 1, 1.5)
    ]
    assert scores[1] == min(scores)


def test_one_sample_has_a_distance_but_no_pairs(photograph):
    samples, hr = photograph
    assert lpips_energy(pairwise_lpips(samples[:1], hr)) == pytest.approx(lpips(samples[0], hr) ** 0.5)
    with pytest.raises(MetricError, match="at least 2 samples"):
        lpips_pairs(pairwise_lpips(samples[:1], hr))
    between = [lpips(samples[i], samples[j]) for i in range(4) for j in range(i)]
    assert lpips_pairs(pairwise_lpips(samples, hr)) == pytest.approx(np.mean(between))


@pytest.mark.parametrize(
    ("samples", "hr", "says"),
    [
        (images(2, 8, 8), images(1, 8, 9)[0], r"samples are \(2, 3, 8, 8\) and HR is \(3, 8, 9\)"),
        (images(2, 8, 8)[0], images(1, 8, 8)[0], "give"),
        (images(2, 8, 8)[:0], images(1, 8, 8)[0], "n > 0"),
        (images(2, 8, 8).float(), images(1, 8, 8)[0], "float32; quantise"),
        (images(2, 8, 8), images(1, 8, 8)[0].float(), "float32; quantise"),
    ],
)
@pytest.mark.parametrize("score", [fair_crps, pairwise_lpips])
def test_other_images_are_refused(score, samples, hr, says):
    with pytest.raises(MetricError, match=says):
        score(samples, hr)


class Uniform:
    """Every image of 256 grey levels is equally likely: density 1 / (256 / 255) on [-1/510, 1 + 1/510], 0 elsewhere."""

    def log_prob(self, lr, hr):
        inside = ((hr >= -1.001 / 510) & (hr <= 1 + 1.001 / 510)).flatten(1).all(dim=1)
        return torch.where(inside, -hr[0].numel() * math.log(256 / 255), -math.inf)


class Normal:
    """Independent normal values around LR, upscaled by repetition."""

    def __init__(self, levels):
        self.deviation = levels / 255

    def log_prob(self, lr, hr):
        mean = lr.repeat_interleave(4, 2).repeat_interleave(4, 3)
        return torch.distributions.Normal(mean, self.deviation).log_prob(hr).flatten(1).sum(dim=1)


def test_an_image_of_256_equally_likely_levels_has_8_bits():
    hr = images(1, 32, 24)[0]
    hr[:, :16] = hr[:, :16] // 128 * 255  # half of the values at the ends
    assert bits_per_dimension(Uniform(), torch.rand(3, 8, 6), hr) == pytest.approx(8, abs=1e-6)


def test_bits_bound_the_discrete_likelihood_and_are_lowest_for_the_true_deviation():
    generator = torch.Generator().manual_seed(0)
    hr = (128 + 10 * torch.randn((3, 96, 96), generator=generator)).round().to(torch.uint8)
    lr = torch.full((3, 24, 24), 128 / 255)
    bits = {levels: bits_per_dimension(Normal(levels), lr, hr) for levels in (7, 10, 14)}
    assert min(bits, key=bits.get) == 10
    edges = torch.distributions.Normal(128.0, 10.0).cdf(torch.stack([hr - 0.5, hr + 0.5]).double())
    discrete = -torch.log2(edges[1] - edges[0]).mean().item()
    assert discrete < bits[10] + 0.001 < discrete + 0.003


def test_noise_depends_on_the_pixels_alone():
    lr, hr = torch.rand(3, 8, 8), images(1, 32, 32)[0]
    model = Normal(30)
    torch.manual_seed(0)
    bits = bits_per_dimension(model, lr, hr)
    torch.manual_seed(1)
    assert bits_per_dimension(model, lr, hr) == bits
    assert bits_per_dimension(model, lr, hr.float() / 255) == bits
    seen = []
    for image in (hr, hr, hr ^ 1):
        model.log_prob = lambda lr, hr: seen.append(hr * 255) or hr.sum().reshape(1)
        bits_per_dimension(model, lr, image)
    noise = [values[0] - image for values, image in zip(seen, (hr, hr, hr ^ 1), strict=True)]
    assert torch.equal(noise[0], noise[1])
    assert (noise[0] - noise[2]).abs().max() > 0.1
    assert noise[0].abs().max() <= 0.5001
    assert abs(noise[0].mean()) < 0.03  # 5.7 standard errors
    assert noise[0].var().item() == pytest.approx(1 / 12, rel=0.1)


def test_a_flow_has_the_bits_of_its_even_part():
    model = small_flow(4)
    (hr,), (lr,) = pair(4, 7, 9, batch=1, dtype=torch.float32)
    pixels = (hr * 255).floor().to(torch.uint8)
    bits = bits_per_dimension(model, lr, pixels)
    assert bits == bits_per_dimension(model, lr[:, :6, :8], pixels[:, :24, :32])
    nll = model.given(lr[:, :6, :8]).bits_per_dimension(pixels[None, :, :24, :32].float() / 255)
    assert bits == pytest.approx(nll.item() + math.log2(255), abs=0.02)  # noise moves values by 1/510 at most


def test_models_without_a_density_have_no_bits_and_a_side_of_one_pixel_is_refused():
    assert bits_per_dimension(lambda lr: lr, torch.rand(3, 4, 4), images(1, 16, 16)[0]) is None
    with pytest.raises(MetricError, match="at least 2 pixels"):
        bits_per_dimension(Uniform(), torch.rand(3, 1, 4), images(1, 4, 16)[0])
