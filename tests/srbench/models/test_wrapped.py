"""A model within another keeps what it can do; consistency with LR of every kind of call."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srbench.data.datasets import packaged_photos
from srbench.images.lr_projection import make_consistent
from srbench.images.resize import downscale
from srbench.interfaces import StochasticSRModel, TiledSRModel, Weighted
from srbench.models.half_precision import InBfloat16
from srbench.models.inference import SamplingParameters, iterate_samples, upscale
from srbench.models.loading import load_model
from srbench.models.wrapped import Consistent, Wrapped


def nearest(lr):
    return F.interpolate(lr, scale_factor=4)


class Noise:
    scale = 4

    def sample(self, lr, n, *, temperature, generator):
        return torch.rand((n, 3, 4 * lr.shape[-2], 4 * lr.shape[-1]), generator=generator)


class NoiseInTiles(Noise):
    def samples(self, lr, n, *, temperature, generator, tile, progress):
        yield from self.sample(lr, n, temperature=temperature, generator=generator)


@pytest.mark.parametrize("wrapper", [Wrapped, InBfloat16, Consistent])
@pytest.mark.parametrize(
    ("model", "samples", "tiles"), [(nearest, False, False), (Noise(), True, False), (NoiseInTiles(), True, True)]
)
def test_a_model_within_another_keeps_what_it_can_do(wrapper, model, samples, tiles):
    for wrapped in (wrapper(model, 4), wrapper(wrapper(model, 4), 4)):
        assert wrapped.scale == 4
        assert isinstance(wrapped, StochasticSRModel) == samples
        assert isinstance(wrapped, TiledSRModel) == tiles
        assert not isinstance(wrapped, Weighted)
        assert wrapped.network is model


def test_the_weights_of_a_model_within_another_are_stated():
    plain, made = (load_model(f"rrdb{suffix}", 4, "cpu") for suffix in ("", "+consistent"))
    assert made.model.weights == plain.model.weights == made.weights


def test_a_function_is_given_the_scale():
    lr = torch.rand(3, 5, 6)
    found = upscale(Wrapped(nearest, 4), "a", lr, SamplingParameters(0.0, 1, 0), "cpu")
    assert torch.equal(found.images, nearest(lr[None]))


@pytest.mark.parametrize("model", [nearest, Noise(), NoiseInTiles()])
def test_all_outputs_are_consistent(model):
    lr = torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(1)).mul(0.5).add(0.25)
    found = upscale(Consistent(model, 4), "a", lr, SamplingParameters(1.0, 2, 0), "cpu").images
    plain = upscale(Wrapped(model, 4), "a", lr, SamplingParameters(1.0, 2, 0), "cpu").images
    assert torch.equal(found, make_consistent(plain, lr, 4))
    assert (downscale(found, 4) - lr).abs().max() < 0.01 < (downscale(plain, 4) - lr).abs().max()


def test_a_consistent_flow_samples_in_tiles():
    lr = packaged_photos(4).read("books").lr[:, :24, :28]
    model = load_model("srflow+consistent", 4, "cpu").model
    whole = upscale(model, "books", lr, SamplingParameters(0.8, 2, 0), "cpu").images
    sampling = SamplingParameters(0.8, 2, 0, tile=16)
    tiled = torch.stack([*iterate_samples(model, "books", lr, sampling, "cpu", lambda share: None)])
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)
