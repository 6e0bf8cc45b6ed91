"""The files in examples/ are what a newcomer starts from: short, and right."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from srbench.types import ImagePair

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def metric():
    specification = importlib.util.spec_from_file_location("my_metric", EXAMPLES / "my_metric.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.MyMetric()


def test_the_example_metric_is_short_and_has_the_facts(metric):
    assert len((EXAMPLES / "my_metric.py").read_text().splitlines()) <= 25
    facts = (metric.name, metric.title, metric.higher_is_better, metric.unit, metric.digits)
    assert facts == ("mae", "MAE", False, "grey levels", 2)
    assert "\n" not in metric.protocol
    assert metric.signature.endswith("|v1")


def test_the_example_metric_gives_the_right_numbers(metric):
    """One channel of three 30 levels too bright is 10 levels on average; what is floored or clamped does not count."""
    hr = torch.full((3, 8, 8), 100 / 255)
    samples = torch.stack([hr, hr + 0.9 / 255, hr, hr + 1])
    samples[2, 0] += 30.5 / 255
    values = metric(samples, ImagePair("grey", hr[:, ::4, ::4], hr))
    assert values.dtype == torch.float64
    assert values.tolist() == pytest.approx([0, 0, 10, 155])
