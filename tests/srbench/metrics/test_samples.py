from __future__ import annotations

import pytest
import torch

from srbench.interfaces import ImagePair, SRBenchError
from srbench.metrics import MetricError
from srbench.metrics.samples import as_uint8, checked, require_side

PAIR = ImagePair("tree", torch.zeros(3, 2, 3), torch.zeros(3, 4, 6))


def test_checked_returns_the_same_object():
    samples = torch.full((2, 3, 4, 6), 7.0)
    assert checked(samples, PAIR) is samples


def test_checked_says_how_much_is_broken():
    samples = torch.zeros(2, 3, 4, 6)
    samples[0] = float("nan")
    with pytest.raises(MetricError, match=r"tree: 50\.00% of the model's output is NaN or infinite"):
        checked(samples, PAIR)


def test_as_uint8_floors_and_clamps():
    samples = torch.tensor([-0.5, 0.0, 0.999 / 255, 1.999 / 255, 254.9 / 255, 1.5]).expand(1, 3, 4, 6)
    assert as_uint8(samples)[0, 0, 0].tolist() == [0, 0, 0, 1, 254, 255]
    assert as_uint8(samples).dtype == torch.uint8


def test_as_uint8_keeps_every_8_bit_value():
    levels = torch.arange(256, dtype=torch.float32) / 255
    assert as_uint8(levels.expand(1, 3, 1, 256))[0, 0, 0].tolist() == list(range(256))


def test_require_side():
    require_side(PAIR.hr, 4, "THIS", "tree")
    with pytest.raises(SRBenchError, match=r"tree: 4x6 pixels are too few for THIS; .* at least 5, use larger"):
        require_side(PAIR.hr, 5, "THIS", "tree")
