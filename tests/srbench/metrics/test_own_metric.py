"""Common slips in a metric of one's own: refused in one line that says what to change."""

import pytest
import torch

from srbench.benchmark import BenchmarkError
from srbench.benchmark.scorer import measure
from srbench.interfaces import ImagePair
from srbench.metrics.loading import load_metric
from srbench.plugins import PluginError

METRIC = """
from srbench.interfaces import MetricFacts


class Mean:
    facts = MetricFacts(name="mean", title="Mean", direction=0, protocol="mean", map={map})

    def __call__(self, samples, pair):
        return {value}

    def map(self, samples, pair):
        return samples[0].mean(0)
"""


@pytest.fixture
def metric(tmp_path):
    def metric(value="samples.mean((1, 2, 3))", map="None"):
        text = METRIC.format(value=value, map=map)
        (tmp_path / "mine.py").write_text(text if map != "None" else text.replace("def map", "def _map"))
        return load_metric(f"{tmp_path / 'mine.py'}:Mean")

    return metric


def test_a_map_that_is_no_map_facts(metric):
    with pytest.raises(PluginError, match=r'its fact map is True; make it MapFacts\(unit="...", upper=255\)'):
        metric(map="True")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("samples.mean()", r'mean returned one value for 2 samples; return \(n,\), or state per="image"'),
        ("samples.mean((2, 3)).flatten()", "mean returned 6 values for 2 samples"),
        ("samples.mean((1, 2, 3)) + float('nan')", r"mean is not defined for this image \(NaN\)"),
    ],
)
def test_values_that_are_not_one_for_each_sample(metric, value, fault):
    pair = ImagePair("a", torch.rand(3, 8, 8), torch.rand(3, 32, 32))
    samples = torch.zeros((2, 3, 32, 32), dtype=torch.uint8)
    assert measure(metric(), samples, pair) == [0.0, 0.0]
    with pytest.raises(BenchmarkError, match=fault):
        measure(metric(value), samples, pair)
