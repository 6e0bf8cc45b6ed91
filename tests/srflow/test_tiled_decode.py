"""Decoding in tiles gives the image that decoding at once gives."""

import pytest
import torch

from baselines.rrdb import RRDBConfig
from srbench.plugins.registry import load_dataset
from srflow import SRFlow, SRFlowConfig


def build(scale, long_skip="first"):
    """Random weights, every layer far from the identity, so that an error at a seam would be seen."""
    torch.manual_seed(0)
    encoder = RRDBConfig(scale, 6, 4, 2, long_skip=long_skip)
    model = SRFlow(SRFlowConfig(encoder, (1, 0), steps=3, width=6, scale_floor=0.2)).double().eval()
    for name, parameter in model.named_parameters():
        if name.startswith("encoder.body"):
            parameter.data *= 10
        if name.endswith(("last.weight", "prior.weight", "bias", "log_scale")):
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def draw(model, lr, tile):
    return model.sample(lr, 2, temperature=0.8, generator=torch.Generator().manual_seed(3), tile=tile)


@pytest.mark.parametrize(("scale", "tile"), [(2, 3), (4, 3), (4, 8), (4, 100), (8, 8)])
def test_tiles_equal_the_whole(scale, tile):
    """24 x 8 pixels in tiles of 2, 8 and all pixels: most need pixels of several neighbours."""
    model, lr = build(scale), torch.rand(3, 24, 8, dtype=torch.float64)
    whole = draw(model, lr, None)
    assert whole.std() > 0.1
    torch.testing.assert_close(draw(model, lr, tile), whole, rtol=0, atol=1e-10)


def test_odd_sizes():
    size = 21, 7
    model, lr = build(4, long_skip="trunk"), torch.rand(3, *size, dtype=torch.float64)
    found = draw(model, lr, 5)
    assert found.shape == (2, 3, 4 * size[0], 4 * size[1])
    torch.testing.assert_close(found, draw(model, lr, None), rtol=0, atol=1e-10)


@pytest.mark.parametrize("scale", [2, 8])
def test_a_sample_depends_neither_on_their_number_nor_on_tiles(scale):
    """Sample k of 1, 3 and 7, one after another or all together, at once or in tiles; the generator's state as well."""
    model, lr, shares = build(scale), torch.rand(3, 10, 7, dtype=torch.float64), []
    together, single = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
    drawn = model.sample(lr, 7, temperature=0.8, generator=together)
    alone = [*model.samples(lr, 7, temperature=0.8, generator=single, tile=8, progress=shares.append)]
    torch.testing.assert_close(torch.stack(alone), drawn, rtol=0, atol=1e-10)
    assert torch.equal(together.get_state(), single.get_state())
    assert sum(shares) == pytest.approx(1)
    assert all(share > 0 for share in shares)
    for n in (1, 3):
        generator = torch.Generator().manual_seed(7)
        for k in range(0, 6, n):
            found = model.sample(lr, n, temperature=0.8, generator=generator)
            torch.testing.assert_close(found, drawn[k : k + n], rtol=0, atol=1e-10)


def test_samples_of_the_packaged_network_are_the_same_however_they_are_drawn():
    """On a photograph; in white noise, which no photograph resembles, the flow amplifies rounding."""
    model, lr = SRFlow.from_pretrained(4), load_dataset("photos", 4).read("astronaut").lr[:, :14, :12]
    drawn = model.sample(lr, 2, generator=torch.Generator().manual_seed(7))
    alone, tiled = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
    for k in range(2):
        torch.testing.assert_close(model.sample(lr, generator=alone)[0], drawn[k], rtol=0, atol=1e-5)
        torch.testing.assert_close(model.sample(lr, generator=tiled, tile=8)[0], drawn[k], rtol=0, atol=1e-5)


def test_samples_of_a_batch_in_tiles():
    model, lr = build(4), torch.rand(2, 3, 12, 10, dtype=torch.float64)
    whole, tiled = (
        model.given(lr).sample(2, generator=torch.Generator().manual_seed(1), tile=tile) for tile in (None, 4)
    )
    assert whole.shape == (2, 2, 3, 48, 40)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-10)


def test_whoever_takes_samples_keeps_gradients_and_random_numbers():
    drawn = []
    for _ in build(4).float().samples(torch.rand(3, 8, 8), 3, tile=8):
        assert torch.is_grad_enabled()
        drawn.append(float(torch.rand(())))
    assert len(set(drawn)) == 3


def test_another_default_device():
    model, lr = build(4).float(), torch.rand(3, 8, 8)
    expected = model.sample(lr, generator=torch.Generator().manual_seed(0))
    with torch.device("meta"):
        assert torch.equal(model.sample(lr, generator=torch.Generator().manual_seed(0)), expected)
