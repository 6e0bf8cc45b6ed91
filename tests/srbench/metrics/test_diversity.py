from __future__ import annotations

import pytest
import torch

from srbench.interfaces import ImagePair
from srbench.metrics.diversity import Sigma

PAIR = ImagePair("tree", torch.zeros(3, 8, 8), torch.zeros(3, 64, 64))


def test_against_numpy(coffee, samples):
    wanted = (samples.numpy().astype("float64") * 255).std(axis=0, ddof=1).mean()
    assert Sigma()(samples, coffee).item() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("n", "expected"), [(2, 3.98), (5, 4.71), (10, 4.86), (20, 4.93)])
def test_gaussian_spread_is_underestimated_by_few_samples(n, expected):
    """A Gaussian of 5 grey levels: the root of an unbiased variance is biased, so n belongs beside the value."""
    noise = torch.randn(n, 3, 64, 64, generator=torch.Generator().manual_seed(n)) * 5 / 255
    assert Sigma()(noise, PAIR).item() == pytest.approx(expected, abs=0.06)


def test_neither_clamped_nor_rounded():
    samples = torch.tensor([1.5, 1.5 + 0.2 / 255]).view(2, 1, 1, 1).expand(2, 3, 64, 64)
    assert Sigma()(samples, PAIR).item() == pytest.approx(0.2 / 2**0.5, abs=1e-4)
