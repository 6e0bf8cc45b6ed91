from __future__ import annotations

import pytest
import torch

from srbench.interfaces import ImagePair
from srbench.metrics import MetricError
from srbench.metrics.samples import checked

PAIR = ImagePair("tree", torch.zeros(3, 2, 3), torch.zeros(3, 4, 6))


def test_checked_returns_the_same_object():
    samples = torch.full((2, 3, 4, 6), 7.0)
    assert checked(samples, PAIR) is samples


def test_checked_says_how_much_is_broken():
    samples = torch.zeros(2, 3, 4, 6)
    samples[0] = float("nan")
    with pytest.raises(MetricError, match=r"tree: 50\.00% of the model's output is NaN or infinite"):
        checked(samples, PAIR)
