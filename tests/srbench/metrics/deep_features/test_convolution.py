from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srbench.metrics.deep_features import convolution
from srbench.metrics.deep_features.convolution import rectified


def layer(channels: int, outputs: int, side: int, stride: int = 1) -> torch.nn.Conv2d:
    torch.manual_seed(0)
    made = torch.nn.Conv2d(channels, outputs, side, stride, padding=side // 2)
    return made.requires_grad_(requires_grad=False)


def wanted(made: torch.nn.Conv2d, signal: torch.Tensor) -> torch.Tensor:
    return F.conv2d(signal.double(), made.weight.double(), made.bias.double(), made.stride, made.padding).relu()


def signal(channels: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(1, channels, height, width).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("size", [None, 1, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 4), (9, 9), (13, 22), (61, 17), (50, 50), (2, 600)])
def test_every_way_is_the_plain_sum(monkeypatch, side, size, height, width):
    """Also where the last tiles hang over the edge, and in several passes."""
    if size is not None:
        monkeypatch.setattr(convolution, "_tile_side", lambda *_: size)
    made = layer(48, 40, side)
    given = signal(48, height, width)
    with torch.inference_mode():
        found = rectified(made, given.shape)(given)
    torch.testing.assert_close(found.double(), wanted(made, given), atol=5e-6, rtol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_a_stride_is_kept():
    made, given = layer(3, 16, 11, 4), signal(3, 200, 200)
    with torch.inference_mode():
        found = rectified(made, given.shape)(given)
    torch.testing.assert_close(found.double(), wanted(made, given), atol=5e-6, rtol=0)


@pytest.mark.parametrize(("side", "map_side", "size"), [(3, 9, 1), (3, 15, 3), (3, 63, 4), (5, 7, 1), (5, 63, 4)])
def test_small_maps_are_convolved_plainly(side, map_side, size):
    """As the filters at all points take longer to read than they save."""
    assert convolution._tile_side(layer(8, 8, side), torch.Size((1, 8, map_side, map_side))) == size
