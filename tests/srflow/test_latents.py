"""Latents: the statistics that normalisation gives, the grids that boxes fall on, seams without a loss of variance."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
import torch
from flows import seeded, small_flow

from srbench.editing.edit import EditableSRModel
from srbench.images.box import Box
from srbench.images.resize import downscale
from srflow.latents import LatentError, blend, masks, move_patch, normalize_channels, normalize_locations

STRIDES = [2, 4, 16]


def random_latents(seed=0, side=64, channels=(6, 12, 192), dtype=torch.float32):
    generator = seeded(seed)
    return [
        torch.randn((1, c, side // stride, side // stride), generator=generator, dtype=dtype)
        for c, stride in zip(channels, STRIDES, strict=True)
    ]


def build(scale=8):
    return small_flow(scale).double()


def photograph(height, width, scale=8, seed=0):
    hr = torch.rand((3, height, width), generator=seeded(seed), dtype=torch.float64)
    return hr, downscale(hr, scale)


@pytest.mark.parametrize(("normalize", "collected"), [(normalize_locations, (1,)), (normalize_channels, (2, 3))])
def test_normalised_moments_have_the_distributions_of_the_paper(normalize, collected):
    """Means N(0, t^2/N), variances Gamma((N-1)/2, 2t^2/(N-1)), whatever came in: Kolmogorov-Smirnov."""
    temperature, channels = 0.7, 40
    wild = [7 * z.exp() + 3 for z in random_latents(1, channels=(channels,) * 3, dtype=torch.float64)[:1]]
    (given,) = normalize([*wild], [temperature], seeded(5))
    variance, mean = torch.var_mean(given, collected)
    n = math.prod(given.shape[axis] for axis in collected)
    moments = [
        (mean, scipy.stats.norm(0, temperature / math.sqrt(n))),
        (variance, scipy.stats.gamma((n - 1) / 2, scale=2 * temperature**2 / (n - 1))),
    ]
    for found, wanted in moments:
        assert scipy.stats.kstest(found.flatten().numpy(), wanted.cdf).pvalue > 0.01


def test_normalisation_does_not_depend_on_the_default_dtype():
    latents = random_latents()
    expected = normalize_locations(latents, [0.7] * 3, seeded(5))
    torch.set_default_dtype(torch.float64)
    try:
        found = normalize_locations(latents, [0.7] * 3, seeded(5))
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(map(torch.equal, found, expected))


def test_normalising_keeps_the_pattern_and_is_repeatable():
    latents = [2 * z + 1 for z in random_latents(2)]
    first, again, other = (normalize_locations(latents, [0.8] * 3, seeded(seed)) for seed in (1, 1, 2))
    for before, z, same, different in zip(latents, first, again, other, strict=True):
        assert torch.equal(z, same)
        assert not torch.equal(z, different)
        centred = [part - part.mean(1, keepdim=True) for part in (before, z)]
        assert torch.cosine_similarity(*centred, dim=1).min() > 0.999
    assert all(z.abs().max() == 0 for z in normalize_locations(latents, [0.0] * 3, seeded()))
    constant = normalize_locations([torch.ones((1, 6, 2, 2))], [1.0], seeded())[0]
    assert constant.isfinite().all()


def test_channels_of_a_level_with_one_location_have_no_statistics():
    with pytest.raises(LatentError, match="a single location"):
        normalize_channels(random_latents(side=16), [1.0] * 3, seeded())


def test_a_patch_is_moved_at_every_level_and_repeated_where_it_is_too_small():
    latents = random_latents()
    moved = move_patch(latents, STRIDES, Box(0, 16, 16, 32), Box(16, 0, 48, 64))
    for z, new, stride in zip(latents, moved, STRIDES, strict=True):
        small, high = 16 // stride, 32 // stride
        expected = np.tile(z.numpy()[..., small : small + high, :small], (1, 1, 2, 3))
        assert np.array_equal(new[..., small:], expected)
        assert torch.equal(new[..., :small], z[..., :small])


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        (Box(8, 0, 16, 16), "box 8,0,16,16 is not on a grid of 16 pixels"),
        (Box(48, 0, 32, 16), "box 48,0,32,16 leaves the image of 64x64"),
        (Box(-16, 0, 16, 16), "leaves the image"),
    ],
)
def test_boxes_that_do_not_fit_the_levels(box, fault):
    for boxes in ((box, Box(0, 0, 16, 16)), (Box(0, 0, 16, 16), box)):
        with pytest.raises(LatentError, match=fault):
            move_patch(random_latents(), STRIDES, *boxes)


@pytest.mark.parametrize(
    ("box", "aligned"),
    [
        (Box(0, 16, 32, 16), Box(0, 16, 32, 16)),
        (Box(1, 15, 1, 2), Box(0, 0, 16, 32)),
        (Box(31, 5, 18, 16), Box(16, 0, 48, 32)),
    ],
)
def test_aligned_boxes_are_the_smallest_around(box, aligned):
    assert box.aligned(16) == aligned


def test_masks_are_means_over_locations_with_edges_as_soft_as_asked():
    mask = torch.zeros(64, 64)
    mask[:, 24:] = 1
    assert [level[0].tolist() for level in masks(mask, [2, 16])][1] == [0, 0.5, 1, 1]
    soft = masks(mask, [1, 2], softness=4)
    row = soft[0][32]
    assert row[:20].max() == 0
    assert row[28:].min() == pytest.approx(1, abs=1e-6)
    assert all(0 < step < 0.2 for step in row[19:29].diff().tolist()[1:-1])
    torch.testing.assert_close(soft[1][16], row.view(-1, 2).mean(1))


def interpolate(these, those, weight):
    return blend(these, those, [torch.tensor(weight)] * len(these))


def test_blending_keeps_ends_and_the_variance_between_them():
    these, those = random_latents(1, side=128), random_latents(2, side=128)
    for weight, ends in ((0.0, these), (1.0, those)):
        for z, end in zip(interpolate(these, those, weight), ends, strict=True):
            torch.testing.assert_close(z, end, atol=1e-5, rtol=0)
    middle = interpolate(these, those, 0.5)
    assert middle[2].std() == pytest.approx(1, abs=0.02)  # a mean has 0.71
    for z, same in zip(interpolate(these, these, 0.3), these, strict=True):
        torch.testing.assert_close(z, same, atol=1e-5, rtol=0)
    zeros = [torch.zeros_like(z) for z in these]
    assert all(z.isfinite().all() for z in interpolate(these, zeros, 0.5))
    assert all(z.isfinite().all() for z in interpolate(these, [-z for z in these], 0.5))


def test_blending_takes_a_great_circle():
    """Equal angles for equal steps, constant length: between unit vectors, as Shoemake has it."""
    this, that = torch.zeros((1, 3, 1, 1)), torch.zeros((1, 3, 1, 1))
    this[0, 0], that[0, 1] = 1, 1
    path = [interpolate([this], [that], step / 4)[0].flatten() for step in range(5)]
    assert all(point.norm() == pytest.approx(1, abs=1e-6) for point in path)
    assert [float(a @ b) for a, b in pairwise(path)] == pytest.approx([math.cos(math.pi / 8)] * 4, abs=1e-6)


def test_a_blend_by_maps_differs_from_both_only_between():
    these, those = random_latents(1), random_latents(2)
    mask = torch.zeros(64, 64)
    mask[:, 32:] = 1
    for z, this, that in zip(blend(these, those, masks(mask, STRIDES)), these, those, strict=True):
        half = z.shape[-1] // 2
        torch.testing.assert_close(z[..., :half], this[..., :half], atol=1e-5, rtol=0)
        torch.testing.assert_close(z[..., half:], that[..., half:], atol=1e-5, rtol=0)


def test_style_moved_onto_itself_changes_nothing_and_elsewhere_only_the_surroundings():
    model, (hr, lr) = build(), photograph(96, 128)
    assert isinstance(model, EditableSRModel)
    box = Box(16, 16, 32, 32)
    torch.testing.assert_close(model.transfer_style(hr, lr, box, box, temperature=1.0), hr, atol=1e-9, rtol=0)
    change = (model.transfer_style(hr, lr, box, Box(80, 48, 32, 32), temperature=1.0) - hr).abs().amax(0)
    inside, far = change[48:80, 80:112], change[:, :32]
    assert (inside > 0.01).float().mean() > 0.9
    assert far.max() < 1e-3 * inside.mean()


@torch.no_grad()
def test_restoring_gives_a_samples_statistics_and_is_repeatable():
    """An image whose latents are too large and not centred, as noise makes them."""
    model, (_, lr) = build(), photograph(96, 128)
    wild = [
        0.2 * torch.randn((1, *shape), generator=seeded(3), dtype=lr.dtype) + 0.1
        for shape in model.flow.latent_shapes(96, 128)
    ]
    hr = model.given(lr[None]).decode(wild)[0]
    restored = [model.restore(hr, lr, temperature=0.1, generator=seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(restored[0], restored[1])
    assert not torch.equal(restored[0], restored[2])
    for z, before in zip(model.given(lr[None]).encode(restored[0][None])[0], wild, strict=True):
        assert [float(z.mean()), float(z.std())] == pytest.approx([0, 0.1], abs=0.01)
        centred = [part - part.mean((1, 2, 3)) for part in (before, z)]
        assert torch.cosine_similarity(*(part.flatten() for part in centred), dim=0) > 0.7
    still = [
        model.restore(hr, lr, temperature=0.0, generator=seeded()),
        model.sample(lr, 1, temperature=0.0, generator=seeded())[0],
    ]
    torch.testing.assert_close(*still)


def test_a_box_may_reach_to_the_end_of_an_odd_image():
    model, (hr, lr) = build(), photograph(40, 56)
    edited = model.transfer_style(
        hr, lr, Box(0, 0, 16, 16), Box(40, 24, 16, 16).aligned(model.edit_grid), temperature=1
    )
    assert edited.shape == hr.shape
    with pytest.raises(LatentError, match="leaves the image"):
        model.transfer_style(hr, lr, Box(0, 0, 16, 16), Box(64, 0, 16, 16), temperature=1)


@pytest.mark.parametrize("scale", [4, 8])
def test_content_is_changed_where_it_was_pasted_only_and_by_the_seed(scale):
    model, (hr, lr) = build(scale), photograph(12 * scale, 20 * scale, scale)
    mask = torch.zeros(hr.shape[-2:], dtype=hr.dtype)
    mask[: 4 * scale, : 4 * scale] = 1
    pasted = torch.where(mask.bool(), 1 - hr, hr)

    def harmonised(seed, mask=mask):
        return model.transfer_content(hr, lr, pasted, mask, temperature=0.8, generator=seeded(seed))

    assert torch.equal(harmonised(1), harmonised(1))
    assert not torch.equal(harmonised(1), harmonised(2))
    torch.testing.assert_close(harmonised(1, torch.zeros_like(mask)), hr, atol=1e-9, rtol=0)
    change = (harmonised(1) - hr).abs()
    assert change[:, :, 14 * scale :].max() < 1e-3 * change[:, mask.bool()].mean()
