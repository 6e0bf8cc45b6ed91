"""Parameters, operations, memory and time of models."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from builders import NETWORK
from torch import nn

from srbench.images.lr_projection import Consistent
from srbench.interfaces import ImagePair, SRBenchError
from srbench.metrics.cost import Memory, ModelCall, Operations, Parameters, Seconds, parameters_of, probe
from srbench.metrics.loading import load_metric
from srbench.models.precomputed import ResultFolder
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of


class Network(nn.Module):
    """The same, with two convolutions and the first result no longer held when the second is made."""

    scale = 4

    def __init__(self, convolution=nn.functional.conv2d):
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.ones(c, 3, 3, 3)) for c in (3, 48))
        self.convolution = convolution

    def forward(self, lr):
        hidden = self.convolution(lr, self.first, padding=1)
        del lr
        return nn.functional.pixel_shuffle(self.convolution(hidden, self.second, padding=1), 4)


def one_dnn(x, weight, padding):
    return torch.mkldnn_convolution(x, weight, None, (padding,) * 2, (1, 1), (1, 1), 1)


def test_operations_are_those_of_the_convolutions():
    found = probe(Network(), None, "cpu")
    assert found.pixels == 256 * 256
    assert found.operations == 2 * 64 * 64 * 27 * (3 + 48)
    assert Operations().of(ModelCall(Network(), None, "cpu", 1.0)) == pytest.approx(2 * 27 * 51 / 16 / 1e3)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_operations_of_one_dnn_count_alike():
    assert probe(Network(one_dnn), None, "cpu").operations == probe(Network(), None, "cpu").operations


def test_memory_is_what_lives_at_once():
    """The input is the caller's; what the first convolution makes lives as long as the second works."""
    floats = 64 * 64 * (3 + 48) + 64 * 64 * 48  # both results, and the sorted pixels
    assert probe(Network(), None, "cpu").tensors == 4 * floats
    assert Memory().of(ModelCall(Network(), None, "cpu", 1.0)) == pytest.approx(4 * floats / 256**2)


class Sampler:
    scale = 8

    def __init__(self):
        self.network = Network()
        self.asked = []

    def sample(self, lr, n, *, temperature, generator):
        self.asked.append((n, temperature))
        return torch.randn((n, 3, 8 * lr.shape[-2], 8 * lr.shape[-1]), generator=generator)


def test_a_model_that_samples_is_asked_once_a_temperature():
    sampler = Sampler()
    for temperature in (0.5, 0.8, 0.5):
        assert probe(sampler, temperature, "cpu").operations == 0
    assert sampler.asked == [(1, 0.5), (1, 0.8)]


def test_parameters():
    assert parameters_of(Network()) == 27 * 51
    assert parameters_of(Sampler()) == 27 * 51, "of a network that is an attribute"
    assert parameters_of(lambda lr: lr) == 0
    assert parameters_of(Consistent(Network(), 4)) == 27 * 51
    assert Parameters().of(ModelCall(Network(), None, "cpu", 1.0)) == 27 * 51 / 1e6


def test_results_made_elsewhere_cost_nothing_that_is_known(photos):
    model_call = ModelCall(ResultFolder(photos, 4), None, "cpu", 1.0)
    assert all(math.isnan(metric().of(model_call)) for metric in (Parameters, Operations, Memory, Seconds))


def test_images_do_not_tell():
    image = torch.zeros(3, 8, 8)
    for name in ("parameters", "gflops", "memory", "seconds"):
        with pytest.raises(SRBenchError, match="measures models, not images; use srbench run"):
            load_metric(name)(image[None], ImagePair("a", image, image))


def test_cost_in_a_run(command, photos, models, tmp_path):
    """All four columns, for a network, a model that samples and results made elsewhere; later too, and proven."""
    (tmp_path / "network.py").write_text(NETWORK)
    named = f"network.py:Network,{models}:Noisy,theirs={photos}"
    common = ("run", "--models", named, "--data", photos, "--scale", 4, "--limit", 1, "--samples", 2, "--workers", 1)
    found = command(*common, "--metrics", "psnr,cost", "--out", "run")
    assert found.code == 0, found.err
    of_model = {row.setting.model: row for row in measurements_of(RunFolder.read(Path("run")))}
    rows = {model: row.values for model, row in of_model.items()}
    assert rows["Network"]["parameters"] == pytest.approx(1344 / 1e6)
    assert rows["Network"]["gflops"] == pytest.approx(2 * 27 * 48 / 16 / 1e3)
    assert rows["Noisy"]["gflops"] == 0
    assert rows["Noisy"]["seconds"] == pytest.approx(of_model["Noisy"].sample.seconds / 2), "of one output of two"
    assert all(math.isnan(rows["theirs"][name]) for name in ("parameters", "gflops", "memory", "seconds"))
    assert "GFLOP/MP" in Path("run/report/report.md").read_text()
    assert "nothing to do" in command(*common, "--metrics", "psnr,cost", "--out", "run").err
    found = command("verify", "run", "--resample", 3)
    assert found.code == 3
    assert "unverified (not-measured): seconds (2 values): it is a time, which cannot be measured again\n" in found.out
    assert "unverified, nothing contradicted: 13 of 15 values reproduced from their images" in found.out
    assert command(*common, "--metrics", "psnr", "--out", "later").code == 0
    found = command("score", "later", "--metrics", "cost", "--workers", 1)
    assert found.code == 0, found.err
    later = {row.setting.model: row.values for row in measurements_of(RunFolder.read(Path("later")))}
    assert later["Network"]["memory"] == rows["Network"]["memory"]


def test_networks_in_a_list_count_and_one_of_two_names_counts_once():
    net = nn.Linear(2, 3)
    assert parameters_of(SimpleNamespace(nets=[nn.Linear(2, 3), {"a": net}])) == 18
    assert parameters_of(SimpleNamespace(net=net, again=net)) == 9
