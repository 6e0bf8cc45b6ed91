"""Tiles of a model that sees less than the overlap are exact; the harness tiles every kind of model."""

import pytest
import torch
import torch.nn.functional as F

from srbench.images.tiling import OVERLAP, upscale_in_tiles
from srbench.interfaces import ImagePair
from srbench.models import ModelError
from srbench.models.inference import SamplingParameters, upscale


class Blur:
    """Nearest upscaling and a box blur that reaches ``reach`` LR pixels."""

    scale = 2

    def __init__(self, reach):
        self.reach, self.largest = reach, 0

    def __call__(self, lr):
        self.largest = max(self.largest, lr.shape[-1] * lr.shape[-2])
        side, blurred = 4 * self.reach + 1, F.interpolate(lr, scale_factor=2)
        for shape in ((1, side), (side, 1)):
            kernel = torch.full((3, 1, *shape), 1 / side, dtype=lr.dtype)
            blurred = F.conv2d(blurred, kernel, padding=[length // 2 for length in shape], groups=3)
        return blurred


@pytest.mark.parametrize("tile", [16, 33, 200])
def test_tiles_are_exact_within_the_overlap(tile):
    lr = torch.rand(3, 70, 45, dtype=torch.float64)
    model = Blur(OVERLAP)
    tiled = upscale_in_tiles(model, lr, tile)
    assert model.largest <= (tile + 2 * OVERLAP) ** 2
    torch.testing.assert_close(tiled, model(lr[None]), rtol=0, atol=1e-12)


def test_progress_is_that_of_the_tiles():
    seen, shares = [], []

    class Nearest:
        scale = 2

        def __call__(self, lr):
            seen.append(lr.shape)
            return F.interpolate(lr, scale_factor=2)

    upscale_in_tiles(Nearest(), torch.rand(3, 70, 45), 24, shares.append)
    assert len(shares) == len(seen) == 6
    assert sum(shares) == pytest.approx(1)


class Draws:
    """Adds noise; in tiles it would have to share it."""

    scale = 2

    def sample(self, lr, n, *, temperature, generator):
        return torch.randn((n, 3, 2 * lr.shape[-2], 2 * lr.shape[-1]), generator=generator) * temperature


class DrawsInTiles(Draws):
    def samples(self, lr, n, *, temperature, generator, tile, progress):
        self.tile = tile
        yield from self.sample(lr, n, temperature=temperature, generator=generator)


def pair():
    return ImagePair("one", torch.rand(3, 40, 40), torch.rand(3, 80, 80))


def test_the_harness_tiles_a_model_with_one_answer():
    model, lr = Blur(2), torch.rand(3, 100, 100)
    whole = upscale(model, "a", lr, SamplingParameters(0.0, 1, 0, None), "cpu")
    assert model.largest == 100 * 100
    model.largest = 0
    tiled = upscale(model, "a", lr, SamplingParameters(0.0, 1, 0, 16), "cpu")
    assert model.largest == (16 + 2 * OVERLAP) ** 2
    torch.testing.assert_close(tiled.images, whole.images)


def test_the_harness_hands_the_tile_to_a_model_that_draws():
    model, item = DrawsInTiles(), pair()
    tiled = upscale(model, "a", item.lr, SamplingParameters(1.0, 2, 7, 16), "cpu")
    assert model.tile == 16
    assert torch.equal(tiled.images, upscale(model, "a", item.lr, SamplingParameters(1.0, 2, 7), "cpu").images)


@pytest.mark.parametrize("scale", [1, 3])
def test_a_model_of_another_scale_is_refused(scale):
    class Other:
        def __call__(self, lr):
            return F.interpolate(lr, scale_factor=scale)

    other = Other()
    other.scale = 2
    said = (
        rf"a: the result for a tile of 32x32 has shape \(1, 3, {32 * scale}, {32 * scale}\); it must be \(1, 3, "
        r"64, 64\)"
    )
    with pytest.raises(ModelError, match=said):
        upscale(other, "a", pair().lr, SamplingParameters(0.0, 1, 0, 16), "cpu")


def test_a_model_that_cannot_share_its_latent_is_refused():
    with pytest.raises(ModelError, match="Draws cannot sample in tiles; omit --tile"):
        upscale(Draws(), "a", pair().lr, SamplingParameters(1.0, 2, 7, 16), "cpu")
