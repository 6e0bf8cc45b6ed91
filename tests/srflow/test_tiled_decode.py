"""Decoding in stripes gives the image that decoding at once gives."""

import pytest
import torch

from baselines.rrdb import RRDBConfig
from srflow import SRFlow, SRFlowConfig
from srflow.tiled_decode import Stripe, stripes


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


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("tile", [3, 8, 100])
def test_stripes_equal_the_whole(scale, tile):
    """40 rows of 10 pixels in stripes of 2, 6 and all rows: most need rows of several neighbours."""
    model, lr = build(scale), torch.rand(3, 40, 10, dtype=torch.float64)
    whole = draw(model, lr, None)
    assert whole.std() > 0.1
    torch.testing.assert_close(draw(model, lr, tile), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(21, 7), (1 + 32, 8)])
def test_odd_sizes(size):
    model, lr = build(4, long_skip="trunk"), torch.rand(3, *size, dtype=torch.float64)
    found = draw(model, lr, 5)
    assert found.shape == (2, 3, 4 * size[0], 4 * size[1])
    torch.testing.assert_close(found, draw(model, lr, None), rtol=0, atol=1e-10)


def test_every_pixel_of_the_lr_image_counts_on_both_sides_of_a_seam():
    """A changed LR pixel beside a seam changes the other side too, exactly as without a seam."""
    model, lr = build(4), torch.rand(3, 32, 8, dtype=torch.float64)
    changed = lr.clone()
    changed[:, 15] += 0.1
    difference = draw(model, changed, 8) - draw(model, lr, 8)
    assert difference[..., 64:72, :].abs().max() > 1e-4
    torch.testing.assert_close(difference, draw(model, changed, None) - draw(model, lr, None), rtol=0, atol=1e-10)


def test_stripes_cover_the_height_once():
    cut = list(stripes(21, 6, 4))
    assert cut[0] == Stripe(0, 6, 0, 10)
    assert cut[1] == Stripe(6, 12, 2, 16)
    assert cut[-1] == Stripe(18, 21, 14, 21)
    assert [row for stripe in cut for row in range(stripe.start, stripe.stop)] == list(range(21))
