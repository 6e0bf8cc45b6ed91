"""Multiply-adds as fvcore counts them, runtime, and the scores of NTIRE's efficient super-resolution."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from builders import NETWORK
from torch import nn

from baselines.rrdb import RRDBConfig, RRDBNet
from baselines.zoo import load_rrdb
from srbench.interfaces import SRBenchError
from srbench.metrics.cost import ModelCall
from srbench.metrics.efficiency import NTIRE25ESR, NTIRE26ESR, MultiplyAdds, Runtime, Size, _counted, multiply_adds
from srbench.metrics.loading import load_metric, open_metric
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of

SCORES = "srbench.metrics.efficiency"

# Numbers of FlopCountAnalysis(network, torch.rand(1, 3, height, width)).total(), fvcore 0.1.5.post20221221


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


class Everything(nn.Module):
    """One of each operation that fvcore counts."""

    scale = 2

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.batch, self.group, self.layer = nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.LayerNorm(8)
        self.linear, self.instance = nn.Linear(8, 8), nn.InstanceNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, groups=4, padding=1, stride=2)
        self.transposed = nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=2)
        self.last = nn.ConvTranspose2d(8, 3, 2, 2)

    def forward(self, lr):
        x = self.instance(self.group(self.batch(self.first(lr))))
        pooled = F.interpolate(F.adaptive_avg_pool2d(x, 4), size=x.shape[-2:], mode="nearest")
        x = x * torch.sigmoid(F.adaptive_avg_pool2d(x, 1)) + pooled
        x = self.linear(self.layer(x.permute(0, 2, 3, 1)))
        few = x.flatten(1, 2)[:, :16]
        product = few @ few.transpose(1, 2) @ few
        x = x.permute(0, 3, 1, 2) + product.mean() + torch.einsum("bnc,bmc->bnm", few, few).mean()
        x = self.transposed(self.grouped(x))
        x = F.interpolate(F.interpolate(x, scale_factor=2, mode="bilinear"), scale_factor=0.5, mode="bilinear")
        grid = F.affine_grid(torch.eye(2, 3)[None].to(x.device), x.shape, align_corners=False)
        return self.last(F.grid_sample(x, grid, align_corners=False))


def counted(model: nn.Module, width: int, height: int) -> float:
    return multiply_adds(model.eval(), None, "cpu", Size(width, height, is_output=False))


def test_span_has_the_multiply_adds_and_parameters_of_the_challenge():
    """9.833807872 G and 0.150688 M by results.json of github.com/Amazingren/NTIRE2026_ESR, and the same by fvcore."""
    assert counted(Span(), 256, 256) == 9_833_807_872
    assert sum(one.numel() for one in Span().parameters()) == 150_688
    model_call = ModelCall(Span(), None, "cpu", 1.0)
    assert MultiplyAdds().of(model_call) == 9.833807872


@pytest.mark.parametrize(("scale", "wanted"), [(4, 1_101_766_656), (8, 1_927_913_472)])
def test_packaged_rrdb_against_fvcore(scale, wanted):
    assert counted(load_rrdb(scale), 32, 24) == wanted
    assert _counted(load_rrdb(scale), None, "cpu", (24, 32)) == wanted, "with numbers"


@pytest.mark.parametrize(("scale", "wanted"), [(4, 18_358_403_072), (8, 22_675_390_464)])
def test_rrdb_of_full_size_against_fvcore(scale, wanted):
    """Counting needs no numbers, so an LR of 256x256 takes no longer than one of 32x32."""
    with torch.device("meta"):
        network = RRDBNet(RRDBConfig(scale=scale, features=64, growth=32, blocks=23))
    assert _counted(network, None, "meta", (32, 32)) == wanted
    assert _counted(network, None, "meta", (256, 256)) == 64 * wanted


def test_every_operation_that_fvcore_counts():
    assert counted(Everything(), 32, 24) == 685_056
    assert _counted(Everything().eval(), None, "cpu", (24, 32)) == 685_056


class Looking(nn.Module):
    """A network that looks at its numbers, so that it has to compute."""

    scale = 4

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 48, 3, padding=1)

    def forward(self, lr):
        return F.pixel_shuffle(self.convolution(lr) if lr.mean().item() > 0 else lr, 4)


def test_a_network_that_looks_at_its_numbers():
    assert counted(Looking(), 16, 8) == 27 * 48 * 16 * 8


def test_an_output_of_1280x720():
    assert Size.read("256x256", "1280x720").of_lr(4) == (180, 320)
    assert Size.read("256x256", "1280x720").of_lr(3) == (240, 427)
    assert MultiplyAdds(out="1280x720").facts.signature == "out1280x720|fvcore|v1"
    found = MultiplyAdds(out="1280x720").of(ModelCall(Span(), None, "cpu", 1.0))
    assert found == pytest.approx(9.833807872 * 180 * 320 / 256**2)


@pytest.mark.parametrize("size", ["256", "0x256", "axb"])
def test_what_is_no_size(size):
    for name in ("multiply_adds", "runtime"):
        with pytest.raises(SRBenchError, match=f"size is '{size}'; give width x height in pixels"):
            load_metric(f"{name}+lr={size}")


def test_runtime_is_in_milliseconds(monkeypatch):
    clock = itertools.count(0.0, 0.25)  # every call is a quarter of a second later
    monkeypatch.setattr("srbench.metrics.efficiency.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert Runtime(lr="8x8").of(ModelCall(Span(), None, "cpu", 1.0)) == 250.0


def test_a_score_is_of_the_columns_beside_it(monkeypatch):
    monkeypatch.setattr("srbench.metrics.efficiency.milliseconds", lambda *_: 4.0)
    score = load_metric(f"{SCORES}:NTIRE26ESR+runtime=8").of(ModelCall(Span(), None, "cpu", 1.0))
    assert score == pytest.approx(NTIRE26ESR.score(0.5, 9.833807872, 0.150688))


RESULTS_2026 = {
    "00_SPAN": (8.00402544260025, 7.468770685791969, 9.833807872, 0.150688),
    "01_PDS": (6.958887830972672, 6.4418129479885105, 9.2536832, 0.141748),
    "06_HAESR": (88.17910783767701, 83.98903469085694, 26.613292096, 0.352869),
    "18_DISP": (6.730187654495239, 6.2941526246070865, 10.693378048, 0.163792),
    "22_SPANV2_ESR_C2": (5.687406876087189, 4.795523520112038, 1.591738368, 0.139104),
}
"""Runtimes of both halves, FLOPs and parameters by results.json of github.com/Amazingren/NTIRE2026_ESR."""


def score_2026(team: str) -> float:
    runtimes = {name: (valid + test) / 2 for name, (valid, test, _, _) in RESULTS_2026.items()}
    return NTIRE26ESR.score(runtimes[team] / runtimes["00_SPAN"], *RESULTS_2026[team][2:])


def test_scores_of_2026_by_the_public_results():
    """The baseline's is in the README; the others are its formula, written down once more."""
    assert score_2026("00_SPAN") == pytest.approx(7.3891, abs=5e-5)
    for team in RESULTS_2026:
        valid, test, flops, parameters = RESULTS_2026[team]
        runtime = math.exp((valid + test) / (8.00402544260025 + 7.468770685791969) * 2)
        wanted = 0.8 * runtime + 0.1 * math.exp(2 * flops / 9.833807872) + 0.1 * math.exp(2 * parameters / 0.150688)
        assert score_2026(team) == pytest.approx(wanted)
    assert min(RESULTS_2026, key=score_2026) == "22_SPANV2_ESR_C2", "winner of the main track"


def test_scores_of_2025():
    """EFDN: 16.69 ms, 16.70 G and 0.276 M by the README of github.com/Amazingren/NTIRE2025_ESR; 7.3891 each."""
    assert NTIRE25ESR.score(1, 16.703470848, 0.276192) == pytest.approx(7.3891, abs=5e-5)
    assert NTIRE25ESR.score(1, 16.70, 0.276) == pytest.approx(7.3891, abs=3e-3)
    assert NTIRE26ESR.score(400, 9.8, 0.15) == math.inf, "of a slow model"
    assert NTIRE25ESR.score(0.5, 0, 0) == pytest.approx(0.7 * math.e + 0.3)


def test_a_score_needs_the_runtime_of_its_baseline():
    for year, baseline in ((25, "EFDN"), (26, "SPAN")):
        name, fault = f"{SCORES}:NTIRE{year}ESR", f"ntire{year}_esr needs the runtime of {baseline} on this machine; "
        with pytest.raises(SRBenchError, match=rf"{fault}.*srbench score RUN --metrics {name}\+runtime=MILLISECONDS"):
            load_metric(name)
        with pytest.raises(SRBenchError, match=f"runtime is 'fast'; give the milliseconds of {baseline}, above 0"):
            load_metric(f"{name}+runtime=fast")
    facts = open_metric(f"{SCORES}:NTIRE26ESR+runtime=7.74").facts
    assert facts.signature == "NTIRE26-ESR|lr256x256|SPAN7.74ms|v1"


@pytest.mark.filterwarnings("default::UserWarning")
def test_efficiency_in_a_run(command, photos, tmp_path):
    """The suite says why it has no score; the score comes later, by the formula of the other columns."""
    (tmp_path / "network.py").write_text(NETWORK)
    request = (
        f"run --models network.py:Network --data {photos} --scale 4 --limit 1 --suite ntire-esr --workers 1 --out run"
    )
    found = command(*request.split())
    assert found.code == 0, found.err
    assert "left out of the table: ntire26_esr needs the runtime of SPAN on this machine" in found.err
    found = command("score", "run", "--metrics", f"{SCORES}:NTIRE26ESR+runtime=8", "--workers", 1)
    assert found.code == 0, found.err
    (row,) = measurements_of(RunFolder.read(Path("run")))
    assert row.values["multiply_adds"] == pytest.approx(27 * 48 * 256**2 / 1e9)
    rest = NTIRE26ESR.score(0, row.values["multiply_adds"], 1344 / 1e6) - 0.8
    assert row.values["ntire26_esr"] > rest + 0.8
    found = command("verify", "run")
    assert found.code == 3, found.out
    assert "it is a time, which cannot be measured again" in found.out
    assert "nothing contradicted" in found.out
