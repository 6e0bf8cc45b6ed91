"""Common slips in a metric of one's own: refused in one line that says what to change."""

import sys
from importlib.metadata import EntryPoint

import pytest
import torch

from srbench.benchmark import BenchmarkError
from srbench.benchmark.scorer import measure
from srbench.interfaces import ImagePair, MetricInfo
from srbench.metrics import MetricError
from srbench.metrics.loading import load_metric, open_metric
from srbench.plugins import PluginError, registry

METRIC = """
from srbench.interfaces import ImageMetric, MapInfo, MetricInfo


class Mean(ImageMetric):
    info = MetricInfo(name="mean", title="Mean", direction=0, protocol="mean", map={map})

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
    for upper in ("True", 'MapInfo(unit="levels", upper=float("nan"))', 'MapInfo(unit="levels", upper="255")'):
        with pytest.raises(PluginError, match=r'mine.py:Mean: its map is .*; make it MapInfo\(unit="...", upper=255\)'):
            metric(map=upper)


def test_the_content_of_files_that_parameters_name_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = METRIC.format(value="samples.mean((1, 2, 3))", map="None").replace("def map", "def _map")
    (tmp_path / "mine.py").write_text(f"{text}\n    def __init__(self, weights, place='up'):\n        pass\n")
    for name in ("net.pth", "folder/net"):
        digests = []
        for content in "ab":
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
            (tmp_path / "up").write_text(content)
            digests += [open_metric(f"mine.py:Mean+weights={each}+place=up").info.digest for each in (name, "other")]
        assert digests[0] != digests[2]
        assert digests[1] == digests[3], "the file up is not meant"


def test_parameters_have_the_types_that_the_class_states(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = METRIC.format(value="samples.mean((1, 2, 3))", map="None").replace("def map", "def _map")
    types = (
        "share: float = 1, strict: bool = False, file: Path | None = None, plain=0, word: str = '', either: int "
        "| str = 0"
    )
    given = "share=0.5+strict=yes+file=net.pth+plain=8+word=8+either=8"
    init = f"def __init__(self, {types}):\n        self.given = share, strict, file, plain, word, either\n"
    (tmp_path / "mine.py").write_text(f"from pathlib import Path\n{text}\n    {init}")
    assert load_metric(f"mine.py:Mean+{given}").given == (0.5, True, tmp_path / "net.pth", 8, "8", 8)
    for name, fault in {
        "share=half": "share is 'half'; give a number",
        "strict=on": "strict is 'on'; give yes or no",
    }.items():
        with pytest.raises(MetricError, match=fault):
            load_metric(f"mine.py:Mean+{name}")


def test_an_image_metric_of_the_model(tmp_path):
    text = METRIC.format(value="samples.mean((1, 2, 3))", map="None").replace("def map", "def _map")
    (tmp_path / "mine.py").write_text(text.replace("map=None", 'per="model"'))
    with pytest.raises(PluginError, match='per in its info is \'model\'; state "sample" or "image"'):
        load_metric(f"{tmp_path / 'mine.py'}:Mean")


@pytest.mark.parametrize("line", ["import a_package_that_is_not_there", "class Family:\n    variants = int"])
def test_a_broken_family_hides_no_message(tmp_path, monkeypatch, line):
    (tmp_path / "family_of_test.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("psnr", "srbench.metrics.pixel:PSNR", "srbench.metrics"),
        EntryPoint("theirs", "family_of_test:Family", "srbench.metric_families"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    monkeypatch.delitem(sys.modules, "family_of_test", raising=False)
    with pytest.raises(PluginError, match=r"unknown metric 'psmr'; did you mean psnr\?"):
        load_metric("psmr")
    if line.startswith("import"):
        with pytest.raises(PluginError, match=r"^metric family theirs \(family_of_test:Family\) failed"):
            load_metric("theirs:any")


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


@pytest.mark.parametrize(("gpu", "places"), [(False, ["cpu"]), (True, ["meta", "cpu"])])
def test_a_gpu_is_for_metrics_that_state_it_and_as_far_as_its_memory_suffices(gpu, places):
    seen = []

    def metric(samples, pair):
        assert samples.device == pair.lr.device == pair.hr.device
        seen.append(samples.device.type)
        if samples.is_meta:
            raise torch.OutOfMemoryError
        return samples.mean((1, 2, 3))

    metric.info = MetricInfo(name="mean", title="Mean", direction=0, protocol="mean")
    metric.gpu, metric.sees = gpu, "float"
    images = torch.full((2, 3, 4, 4), 51, dtype=torch.uint8)
    pair = ImagePair("a", images[0, :, :2, :2] / 255, images[0] / 255)
    assert measure(metric, images, pair, "meta") == pytest.approx([0.2, 0.2])
    assert seen == places


def test_any_other_fault_on_a_gpu_is_an_error():
    def metric(samples, pair):
        assert not samples.is_meta, "no kernel"

    metric.info = MetricInfo(name="mean", title="Mean", direction=0, protocol="mean")
    metric.gpu, metric.sees = True, "float"
    with pytest.raises(PluginError, match="a: mean failed: AssertionError: no kernel"):
        measure(metric, torch.zeros(1, 3, 4, 4), ImagePair("a", torch.zeros(3, 2, 2)), "meta")
