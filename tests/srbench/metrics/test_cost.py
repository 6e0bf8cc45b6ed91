"""Parameters, multiply-adds, memory and runtime of models."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import NETWORK
from record_runs import values_in
from torch import nn

from baselines.pretrained import load_rrdb
from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.interfaces import SRBenchError, WeightsInfo
from srbench.metrics import cost
from srbench.metrics.cost import (
    Memory,
    ModelCall,
    MultiplyAdds,
    Parameters,
    Runtime,
    StatedSize,
    parameters_of,
)
from srbench.metrics.loading import load_metric
from srbench.models.half_precision import InBfloat16
from srbench.models.loading import load_model
from srbench.models.precomputed import ResultFolder
from srbench.models.wrapped import Consistent

COSTS = ("parameters", "multiply_adds", "memory", "runtime")


class Network(nn.Module):
    """Two convolutions; the result of the first is no longer held when pixels are sorted."""

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


class Span(nn.Module):
    """Plain convolutions of SPAN (Wan et al., 2024) with the 28 channels of NTIRE 2026, merged as for inference."""

    scale = 4

    def __init__(self) -> None:
        super().__init__()

        def convolution(before: int, after: int, side: int = 3) -> nn.Conv2d:
            return nn.Conv2d(before, after, side, padding=side // 2)

        self.first, self.second = convolution(3, 28), convolution(28, 28)
        self.blocks = nn.ModuleList(nn.ModuleList(convolution(28, 28) for _ in range(3)) for _ in range(6))
        self.joined, self.last = convolution(4 * 28, 28, 1), convolution(28, 48)

    def forward(self, lr):
        first = features = self.first(lr)
        found = []
        for one, two, three in self.blocks:
            begun = one(features)
            ended = three(F.silu(two(F.silu(begun))))
            features = (ended + features) * (torch.sigmoid(ended) - 0.5)
            found.append((features, begun))
        parts = [first, self.second(features), found[0][0], found[5][1]]
        return F.pixel_shuffle(self.last(self.joined(torch.cat(parts, 1))), 4)


class Looking(nn.Module):
    """A network that looks at its numbers, so that it has to compute."""

    scale = 4

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 48, 3, padding=1)

    def forward(self, lr):
        return F.pixel_shuffle(self.convolution(lr) if lr.mean().item() > 0 else lr, 4)


class Attentive(nn.Module):
    """Attention over the pixels, in both of torch's forms; ``reads`` makes it look at its numbers."""

    scale = 4

    def __init__(self, reads=False):
        super().__init__()
        self.reads = reads
        self.first, self.last = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 48, 1)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, lr):
        if self.reads:
            assert lr.mean().item() > 0
        tokens = self.first(lr).flatten(2).mT
        heads = tokens.unflatten(2, (2, 8)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)
        features = self.layer(mixed).mT.unflatten(2, lr.shape[-2:])
        return F.pixel_shuffle(self.last(features), 4)


def multiply_adds(model: nn.Module, width: int, height: int) -> float:
    value = MultiplyAdds(lr=f"{width}x{height}").measure(ModelCall(model.eval(), None, "cpu"))
    assert value is not None
    return round(value * 1e9, 3)


def of_lr(width: int, height: int) -> StatedSize:
    return StatedSize(width, height, is_output=False)


def test_multiply_adds_are_those_of_the_convolutions():
    assert multiply_adds(Network(), 64, 48) == 64 * 48 * 27 * (3 + 48)
    assert MultiplyAdds().measure(ModelCall(Network(), None, "cpu")) == 64 * 64 * 27 * (3 + 48) / 1e9, (
        "an output of 256x256"
    )


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_operations_of_one_dnn_count_alike():
    assert multiply_adds(Network(one_dnn), 32, 32) == multiply_adds(Network(), 32, 32)


def test_span_has_the_multiply_adds_and_parameters_of_the_challenge():
    """9.833807872 G and 0.150688 M by results.json of github.com/Amazingren/NTIRE2026_ESR, and the same by fvcore."""
    assert multiply_adds(Span(), 256, 256) == 9_833_807_872
    assert sum(one.numel() for one in Span().parameters()) == 150_688
    assert MultiplyAdds(lr="256x256").measure(ModelCall(Span(), None, "cpu")) == 9.833807872
    assert MultiplyAdds(out="1280x720").measure(ModelCall(Span(), None, "cpu")) == pytest.approx(
        9.833807872 * 180 * 320 / 256**2
    )


@pytest.mark.parametrize(("scale", "by_fvcore"), [(4, 1_101_766_656), (8, 1_927_913_472)])
def test_packaged_rrdb_against_fvcore(scale, by_fvcore):
    """fvcore also counts the values that nearest upscaling copies: 32 channels at every scale from 2 on."""
    network = load_rrdb(scale)
    channels = network.state_dict()["first.weight"].shape[0] if "first.weight" in network.state_dict() else 32
    copied = sum(channels * 24 * 32 * factor**2 for factor in (2, 4, 8) if factor <= scale)
    assert multiply_adds(network, 32, 24) == by_fvcore - copied
    assert cost.multiply_adds(ModelCall(network, None, "cpu"), of_lr(32, 24)) == by_fvcore - copied, "with numbers"


def test_counting_needs_no_numbers():
    with torch.device("meta"):
        call = ModelCall(RRDBNet(RRDBConfig(scale=4, features=64, growth=32, blocks=23)), None, "meta")
    assert cost.multiply_adds(call, of_lr(256, 256)) == 64 * cost.multiply_adds(call, of_lr(32, 32))


def test_a_network_that_looks_at_its_numbers():
    assert multiply_adds(Looking(), 16, 8) == 27 * 48 * 16 * 8


def test_attention_counts_alike_with_and_without_numbers():
    """On a CPU and a GPU torch has kernels of its own for it, which its counter does not know."""
    pixels = 8 * 6
    projections = 3 * 16 + 16 * 48 + 4 * 16 * 16 + 2 * 16 * 32
    products = 2 * 2 * pixels * 16  # with keys and values, twice
    assert multiply_adds(Attentive(), 8, 6) == pixels * (projections + products)
    assert multiply_adds(Attentive(reads=True), 8, 6) == pixels * (projections + products)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("name", ["bicubic", "rrdb", "esrgan+consistent", "srflow", "srflow+bf16+consistent"])
def test_packaged_models_are_counted_without_their_device(name, monkeypatch):
    """Without numbers: equal on every device, also on one that is not there. A CPU resizes by products, uncounted."""
    monkeypatch.setattr("srbench.models.half_precision.has_bfloat16", lambda device: True)  # torch computes it anyway
    model = load_model(name, 4, "cpu").model
    count = MultiplyAdds(lr="32x24").measure(ModelCall(model, 0.8, "a GPU"))
    assert 1e9 * count <= cost.multiply_adds(ModelCall(model, 0.8, "cpu"), of_lr(32, 24)) <= 1.02e9 * count


def test_memory_is_what_lives_at_once():
    """The input is the caller's; what the first convolution makes lives as long as the second works."""
    floats = 64 * 64 * (3 + 48) + 64 * 64 * 48  # both results, and the sorted pixels
    assert Memory(lr="64x64").measure(ModelCall(Network(), None, "cpu")) == 4 * floats / 1e6


def test_sizes():
    assert StatedSize.read("", "1280x720").of_lr(4) == (180, 320)
    assert StatedSize.read("", "1280x720").of_lr(3) == (240, 427)
    assert StatedSize.read("640x480", "").of_lr(3) == (480, 640)
    assert MultiplyAdds(out="1280x720").info.signature == "out1280x720|v3"
    assert Runtime(lr="640x480").info.signature == "lr640x480|v4"
    assert Memory().info.signature == "out256x256|v3"


@pytest.mark.parametrize("name", COSTS[1:])
def test_unusable_sizes(name):
    for size in ("256", "0x256", "axb"):
        with pytest.raises(SRBenchError, match=f"size is '{size}'; give width x height in pixels"):
            load_metric(f"{name}+lr={size}")
    with pytest.raises(SRBenchError, match="lr and out are given; state the size of LR or of the output"):
        load_metric(f"{name}+lr=8x8+out=32x32")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: [seconds]."""
    now = [0.0]
    monkeypatch.setattr("srbench.machine.usage.time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


def test_runtime_is_that_of_the_model_alone(clock, monkeypatch):
    """LR is on the device before the clock starts."""

    def made(call, size):
        clock[0] += 100
        return torch.zeros(3, *size.of_lr(call.model.scale))

    monkeypatch.setattr(cost, "_lr_image", made)
    assert Runtime(lr="8x8").measure(ModelCall(Sampler(clock, 0.25), 0.8, "cpu")) == 250.0


class Sampler:
    """Notes how it is asked, and takes its time on the clock."""

    scale = 8

    def __init__(self, clock=None, seconds=0.0):
        self.network = Network()
        self.asked = []
        self.clock, self.seconds = clock or [0.0], seconds

    def sample(self, lr, n, *, temperature, generator):
        self.asked.append((n, temperature))
        self.clock[0] += self.seconds
        return torch.randn((n, 3, 8 * lr.shape[-2], 8 * lr.shape[-1]), generator=generator)


def test_three_warm_ups_before_memory_and_before_runtime():
    sampler = Sampler()
    assert Memory(lr="8x8").measure(ModelCall(sampler, 0.8, "cpu")) > 0
    assert sampler.asked == [(1, 0.8)] * (3 + 1)
    assert Runtime(lr="8x8").measure(ModelCall(sampler, 0.5, "cpu")) >= 0
    assert sampler.asked[4:] == [(1, 0.5)] * (3 + 5)


def test_runtime_on_a_cpu_is_that_of_one_thread():
    """Not of the threads of a process, which depend on the number of workers."""
    before, seen = torch.get_num_threads(), set()

    class Noting(Sampler):
        def sample(self, *arguments, **options):
            seen.add(torch.get_num_threads())
            return super().sample(*arguments, **options)

    torch.set_num_threads(3)
    try:
        Runtime(lr="8x8").measure(ModelCall(Noting(), 0.5, "cpu"))
        assert (seen, torch.get_num_threads()) == ({1}, 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("seconds", "outputs"), [(1.0, 3 + 5), (3.0, 3 + 4), (6.0, 2 + 2), (11.0, 1 + 1)])
def test_slow_models_are_timed_less_often(clock, seconds, outputs):
    sampler = Sampler(clock, seconds)
    assert Runtime(lr="8x8").measure(ModelCall(sampler, 0.5, "cpu")) == 1000 * seconds
    assert len(sampler.asked) == outputs


def test_memory_on_a_gpu_is_that_of_one_warm_output_without_lr(monkeypatch):
    """What torch has allocated before the output is no memory of it: weights, what is kept, and LR."""
    events = []

    @contextmanager
    def usage_on(device):
        events.append("begin")
        yield SimpleNamespace(seconds=0.1, allocated_bytes=12345)
        events.append("end")

    monkeypatch.setattr(cost, "usage_on", usage_on)
    monkeypatch.setattr(cost, "_lr_image", lambda call, size: events.append(call.device) or torch.zeros(3, 8, 8))
    assert Memory(lr="8x8").measure(ModelCall(Sampler(), 0.5, "cuda:1")) == 12345 / 1e6
    assert events == ["cuda:1", "begin", "end"] * 4


MEMORY_OF_SRFLOW = """
from srbench.interfaces import ModelCall
from srbench.metrics.cost import Memory
from srbench.models.loading import load_model

print(Memory().measure(ModelCall(load_model("srflow", 4, "cpu").model, 0.8, "cpu")))
"""


def test_memory_does_not_depend_on_what_ran_before():
    """SRFlow keeps what downscales LR from its first output."""
    cold = subprocess.run([sys.executable, "-c", MEMORY_OF_SRFLOW], capture_output=True, text=True, check=True)
    model = load_model("srflow", 4, "cpu").model
    model.sample(torch.rand(3, 64, 64), 1, temperature=0.8, generator=torch.Generator().manual_seed(0))
    assert float(cold.stdout) == Memory().measure(ModelCall(model, 0.8, "cpu"))


def test_parameters():
    assert parameters_of(Network()) == 27 * 51
    assert parameters_of(Sampler()) == 27 * 51, "of a network that is an attribute"
    assert parameters_of(lambda lr: lr) == 0
    assert parameters_of(Consistent(Network(), 4)) == 27 * 51
    assert parameters_of(Consistent(InBfloat16(Network(), 4), 4)) == 27 * 51
    assert Parameters().measure(ModelCall(Network(), None, "cpu")) == 27 * 51 / 1e6
    stated = SimpleNamespace(weights=WeightsInfo("", "", "", 7), network=Network())
    assert parameters_of(stated) == parameters_of(SimpleNamespace(model=stated)) == 7
    assert parameters_of(SimpleNamespace(weights=WeightsInfo("", "", "", None))) is None


def test_costs_of_what_torch_does_not_compute_are_unknown():
    class InNumpy:
        scale = 4

        def __call__(self, lr):
            return torch.from_numpy(np.zeros((1, 3, 4 * lr.shape[-2], 4 * lr.shape[-1]), np.float32))

    call = ModelCall(InNumpy(), None, "cpu")
    assert (MultiplyAdds(lr="8x8").measure(call), Memory(lr="8x8").measure(call)) == (None, None)


def test_results_made_elsewhere_cost_nothing_that_is_known(photos):
    model_call = ModelCall(ResultFolder(photos, 4), None, "cpu")
    assert all(metric().measure(model_call) is None for metric in (Parameters, MultiplyAdds, Memory, Runtime))


def test_a_folder_of_images_has_no_costs(command, photos):
    found = command("measure", photos, "--hr", photos, "--metrics", "psnr,memory")
    assert found.code == 1
    assert "memory, MB needs a model; use srbench run" in found.err


def test_cost_in_a_run(command, photos, models, tmp_path):
    """All four columns, for a network, a model that samples and precomputed outputs; later too, and verified."""
    (tmp_path / "network.py").write_text(NETWORK)
    named = f"network.py:Network,{models}:Noisy,theirs={photos}"
    common = ("run", "--models", named, "--data", photos, "--scale", 4, "--limit", 1, "--samples", 2, "--workers", 1)
    found = command(*common, "--metrics", "psnr,cost", "--out", "run")
    assert found.code == 0, found.err
    rows = {model: values for (model, _, subject), values in values_in(Path("run")).items() if not subject}
    assert rows["Network"]["parameters"] == pytest.approx(1344 / 1e6)
    assert rows["Network"]["multiply_adds"] == pytest.approx(27 * 48 * 64**2 / 1e9)
    assert rows["Noisy"]["multiply_adds"] == 0
    assert rows["Noisy"]["runtime"] > 0
    assert all(rows["theirs"][name] is None for name in COSTS)
    assert "multiply-adds, G" in Path("run/report/report.md").read_text()
    assert "nothing to do" in command(*common, "--metrics", "psnr,cost", "--out", "run").err
    found = command("verify", "run", "--resample", 3)
    assert found.code == 0
    assert found.out.splitlines()[0] == (
        "run: verified from its files: 9 of 15 values, 3 of 3 items by their models; "
        "6 values (memory, MB, runtime, ms) depend on the machine"
    )
    assert command(*common, "--metrics", "psnr", "--out", "later").code == 0
    found = command("score", "later", "--metrics", "cost", "--workers", 1)
    assert found.code == 0, found.err
    later = {model: values for (model, _, subject), values in values_in(Path("later")).items() if not subject}
    assert later["Network"]["memory"] == rows["Network"]["memory"]


def test_networks_in_a_list_count_and_one_of_two_names_counts_once():
    net = nn.Linear(2, 3)
    assert parameters_of(SimpleNamespace(nets=[nn.Linear(2, 3), {"a": net}])) == 18
    assert parameters_of(SimpleNamespace(net=net, again=net)) == 9
