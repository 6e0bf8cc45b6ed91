"""SRFlow of the residual to the consistent upscaling: an exact flow still, whose samples downscale to LR."""

import pytest
import torch
from flows import pair, seeded, small_flow

from srbench.images.box import Box
from srbench.images.lr_projection import upscale_consistently
from srbench.images.resize import downscale

BOUNDED = {"scale_floor": 0.5, "log_deviation_bound": 3.0, "consistency": "residual"}


def build(scale=4, **changes):
    return small_flow(scale, **(BOUNDED | changes)).double()


def lr_error(hr, lr, scale):
    """Root mean square in grey levels."""
    return 255 * (downscale(hr, scale) - lr).square().mean().sqrt().item()


@pytest.mark.parametrize(("scale", "size"), [(2, (4, 6)), (4, (3, 5)), (8, (1, 3))])
def test_decoding_undoes_encoding(scale, size):
    """Whatever HR is, also one that does not fit LR: the projection is no part of the map."""
    model, (hr, lr) = build(scale), pair(scale, *size)
    for given in (hr, hr.flip(0)):
        latents, _ = model.given(lr).encode(given)
        torch.testing.assert_close(model.given(lr).decode(latents), given, rtol=0, atol=1e-8)


def test_the_flow_sees_the_residual():
    """It is the flow of the whole image, applied to what is left of it; a shift has no log-determinant."""
    residual, whole = build(), build(consistency="none")
    assert residual.state_dict().keys() == whole.state_dict().keys()
    hr, lr = pair(4, 4, 6)
    rest = hr - upscale_consistently(lr, 4)
    (latents, log_det), (expected, expected_log_det) = residual.given(lr).encode(hr), whole.given(lr).encode(rest)
    torch.testing.assert_close(latents, expected)
    torch.testing.assert_close(log_det, expected_log_det)
    torch.testing.assert_close(residual.given(lr).bits_per_dimension(hr), whole.given(lr).bits_per_dimension(rest))
    torch.testing.assert_close(residual.bits_per_dimension(lr, hr), residual.given(lr).bits_per_dimension(hr))


def test_the_actnorms_are_set_from_the_residual():
    """The first one by the residual's mean, which is zero, not by the image's."""
    model, (hr, lr) = build(), pair(4, 6, 6)
    model.initialize(lr, hr)
    rest = torch.nn.functional.pixel_unshuffle(hr - upscale_consistently(lr, 4), 2)
    bias = model.flow.levels[0].transitions[0].norm.bias
    torch.testing.assert_close(bias.flatten(), -rest.mean((0, 2, 3)))


@pytest.mark.parametrize(("scale", "size"), [(4, (4, 6)), (8, (5, 3))])
def test_samples_downscale_to_lr(scale, size):
    """At any temperature, from a network that has learned nothing; without the setting they do not."""
    model, plain, (_, lr) = build(scale), build(scale, consistency="none"), pair(scale, *size, batch=1)
    assert (model.projected, plain.projected) == (True, False)
    for temperature in (0.0, 0.8, 1.2):
        drawn, other = (m.sample(lr[0], 2, temperature=temperature, generator=seeded()) for m in (model, plain))
        assert lr_error(drawn, lr, scale) < 2
        assert lr_error(other, lr, scale) > 10
    assert (drawn[0] - drawn[1]).abs().mean() > 0.01, "and they still differ"


def test_samples_in_tiles_are_the_same():
    model, (_, lr) = build(), pair(4, 12, 5, batch=1)
    whole = model.sample(lr[0], 2, temperature=0.8, generator=seeded())
    tiled = model.sample(lr[0], 2, temperature=0.8, generator=seeded(), tile=4)
    torch.testing.assert_close(tiled, whole)


def test_edited_images_downscale_to_lr():
    model, (hr, lr) = build(), pair(4, 8, 8, batch=1)
    box, other = Box(0, 0, 8, 8), Box(16, 16, 8, 8)
    styled = model.transfer_style(hr[0], lr[0], box, other, temperature=0.8)
    mask = torch.zeros_like(hr[0, 0])
    mask[16:24, 16:24] = 1
    pasted = torch.where(mask.bool(), hr[0].flip(-1), hr[0])
    changed = model.transfer_content(hr[0], lr[0], pasted, mask, temperature=0.8, generator=seeded())
    for edited in (styled, changed):
        assert lr_error(edited, lr[0], 4) < 2
        assert (edited - hr[0])[:, 16:24, 16:24].abs().mean() > 0.01
