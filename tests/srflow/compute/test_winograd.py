"""Winograd's convolution against the direct one."""

import pytest
import torch
import torch.nn.functional as F

from srflow.compute.convolution import channels_last
from srflow.compute.winograd import convolve_tiles, pays, taps, tiled


def maps(*shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return channels_last(values) if len(shape) == 4 else values


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 6), (4, 4), (7, 9), (90, 88)])
@pytest.mark.parametrize("batch", [1, 3])
def test_it_equals_the_direct_convolution(batch, height, width):
    x, weight, bias = maps(batch, 5, height, width), maps(7, 5, 3, 3), maps(7)
    found = convolve_tiles(tiled(x), taps(weight), bias, x.shape)
    torch.testing.assert_close(found, F.conv2d(x, weight, bias, padding=1))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_in_float32_it_rounds_little_more_than_the_direct_one():
    x, weight = maps(1, 256, 20, 20), maps(64, 256, 3, 3)
    exact, bias = F.conv2d(x, weight, padding=1), torch.zeros(64)
    found = convolve_tiles(tiled(x.float()), taps(weight.float()), bias, x.shape)
    assert ((found - exact).square().mean() / exact.square().mean()).sqrt() < 2e-6


@pytest.mark.parametrize(("side", "channels"), [(8, 32), (80, 64)])
def test_its_bits_do_not_depend_on_the_threads(side, channels):
    x, weight, bias = (each.float() for each in (maps(1, channels, side, side), maps(48, channels, 3, 3), maps(48)))
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(convolve_tiles(tiled(x), taps(weight), bias, x.shape))
    torch.set_num_threads(before)
    assert all(torch.equal(each, found[0]) for each in found)


def test_it_pays_for_wide_maps_without_gradients():
    wide = torch.zeros(1, 64, 1, 1)
    assert not pays(wide)
    with torch.no_grad():
        assert pays(wide)
        assert not pays(wide[:, :32])
        assert not pays(wide.to("meta"))
