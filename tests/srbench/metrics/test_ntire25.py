"""The score of NTIRE 2025's perceptual track, on terms that stand in for those that need weights."""

from __future__ import annotations

import pytest
import torch

from srbench.interfaces import MetricFacts
from srbench.metrics import ntire25
from srbench.metrics.ntire25 import TERMS, NTIRE25Score
from srbench.metrics.perceptual import LPIPS


@pytest.fixture
def terms(monkeypatch):
    """pyiqa's metrics by name, each a number for every sample."""
    values = dict.fromkeys(TERMS, 0.0)

    class StandIn:
        facts = MetricFacts(name="a", title="a", direction=1, protocol="", signature="RGB|pyiqa0|v1")

        def __init__(self, variant):
            self.variant = variant

        def __call__(self, samples, pair):
            return torch.full((len(samples),), values[self.variant], dtype=torch.float64)

    monkeypatch.setattr(ntire25, "PyIQA", StandIn)
    return values


def test_the_equation_of_the_organisers(terms, coffee, samples):
    terms |= {"dists": 0.15, "clipiqa": 0.7, "maniqa": 0.5, "musiq": 65.0, "niqe": 3.5}
    wanted = (1 - LPIPS()(samples, coffee)) + (1 - 0.15) + 0.7 + 0.5 + 0.65 + (10 - 3.5) / 10
    assert torch.allclose(NTIRE25Score()(samples, coffee), wanted)


def test_niqe_takes_nothing_away(terms, coffee):
    terms["niqe"] = 25.0
    assert NTIRE25Score()(coffee.hr[None], coffee).item() == pytest.approx(2, abs=1e-6)
