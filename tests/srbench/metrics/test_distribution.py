"""Samples judged as a distribution: each column in a run, by the functions on the saved images,
and what shares a column."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from builders import drawn, image_set
from flows import small_flow

from srbench import metrics
from srbench.benchmark.scorer import measure
from srbench.images.io import read_uint8, write_png
from srbench.images.resize import downscale_uint8
from srbench.interfaces import ImagePair, ModelCall
from srbench.metrics import MetricError, lpips_network
from srbench.metrics.calibration import outside, psnr_of_mean, spread_and_error, spread_skill
from srbench.metrics.distribution import NLL, LPIPSEnergy, Outside, PairwiseLPIPS, SpreadSkill
from srbench.metrics.loading import open_metric
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.proper_scores import bits_per_dimension, lpips_pairs, pairwise_lpips
from srbench.metrics.suite import read_suite
from srbench.models.wrapped import Consistent
from srbench.verification.verify import verify

COLUMNS = "crps,lpips_energy,lpips_pairs,psnr_mean,outside,spread_skill,nll"
SAMPLER = '''
import math

import torch
import torch.nn.functional as F


class Gaussian:
    """Repeats pixels and adds normal noise of .1 times the temperature, whose density at temperature 1 it knows."""

    def __init__(self, scale):
        self.scale = scale

    def sample(self, lr, n, *, temperature, generator):
        mean = F.interpolate(lr[None], scale_factor=self.scale)
        return mean + 0.1 * temperature * torch.randn((n, *mean.shape[1:]), generator=generator)

    def log_prob(self, lr, hr):
        errors = (hr - F.interpolate(lr, scale_factor=self.scale)).double() / 0.1
        return -(errors.square() / 2 + math.log(0.1 * math.sqrt(2 * math.pi))).sum(dim=(1, 2, 3))
'''


@pytest.fixture
def bench(tmp_path, monkeypatch, models):
    """The current folder: two images of 64x72 and 72x64 pixels, hr, and sampler.py."""
    monkeypatch.chdir(tmp_path)
    for name, size in (("a", (64, 72)), ("b", (72, 64))):
        write_png(Path("hr") / f"{name}.png", drawn(ord(name), *size))
    Path("sampler.py").write_text(SAMPLER)
    return tmp_path


def words(named, *more, samples=3, out="run", columns=COLUMNS):
    options = ("--models", named, "--data", "hr", "--scale", 4, "--samples", samples, "--workers", 1)
    return ("run", *options, *(("--metrics", columns) if columns else ()), "--out", out, *more)


def recorded(out="run"):
    """Values by model, metric and subject."""
    lines = [json.loads(line) for line in Path(out, "rows.jsonl").read_text().splitlines()]
    assert not any(line["error"] for line in lines)
    return {(line["model"], line["metric"], line["subject"]): line["value"] for line in lines}


def by_functions(model, folder):
    """The values that the functions give for the saved images."""
    values, pooled = {}, []
    for image in "ab":
        samples = torch.stack([read_uint8(file) for file in sorted(Path(f"run/images/{folder}").glob(f"{image}*.png"))])
        hr, lr = (read_uint8(Path(f"run/images/{kind}/{image}.png")) for kind in ("hr", "lr"))
        is_one = len(samples) == 1
        found = {
            "crps": metrics.crps(samples, hr),
            "lpips_energy": metrics.lpips_energy(samples, hr),
            "lpips_pairs": 0 if is_one else lpips_pairs(pairwise_lpips(samples, hr)),
            "psnr_mean": psnr_of_mean(samples, hr),
            "outside": None if is_one else outside(samples, hr),
        }
        values |= {(model, metric, image): value for metric, value in found.items()}
        if not is_one:
            pooled.append(spread_and_error(samples, hr))
        errors = (hr.double() - lr.repeat_interleave(4, 1).repeat_interleave(4, 2)) / 25.5
        bits = errors.square().mean().item() / 2 / math.log(2) + math.log2(255 * 0.1 * math.sqrt(2 * math.pi))
        values[model, "nll", image] = None if is_one else bits  # without the noise of a third of a level
    values[model, "spread_skill", ""] = spread_skill(*zip(*pooled, strict=True), 3) if pooled else None
    return values


def test_in_a_run_of_three_samples_and_of_one_output(bench, command, models):
    found = command(*words(f"sampler.py:Gaussian,{models}:Nearest", "--temperature", 1))
    assert found.code == 0, found.err
    wanted = by_functions("Gaussian", "Gaussian-t1") | by_functions("Nearest", "Nearest")
    values = recorded()
    assert values.keys() == wanted.keys()
    for key, value in wanted.items():
        near = {"abs": 0.01} if key[1] == "nll" else {"rel": 1e-12}
        assert values[key] == (None if value is None else pytest.approx(value, **near)), key
    for image in "ab":
        hr, output = (read_uint8(Path(f"run/images/{folder}/{image}.png")) for folder in ("hr", "Nearest"))
        assert values["Nearest", "psnr_mean", image] == pytest.approx(metrics.psnr(output, hr), rel=1e-12)
        assert values["Nearest", "crps", image] == pytest.approx((output.double() - hr).abs().mean().item(), rel=1e-12)
    report = Path("run/report/report.md").read_text()
    assert "not measured" not in report, "what does not apply is not missing"
    rows = {row["model"]: row for row in csv.DictReader(Path("run/report/table.csv").read_text().splitlines())}
    assert [name for name in COLUMNS.split(",") if rows["Nearest"][name] == ""] == ["outside", "spread_skill", "nll"]


def test_score_adds_them_and_verify_proves_them(bench, command, models):
    """Of a sampler of somebody else, and of five outputs an image that were made elsewhere: there, NLL is a dash."""
    names = f"sampler.py:Gaussian,{models}:Noisy"
    assert command(*words(names, samples=5, out="first", columns="psnr")).code == 0
    elsewhere = shutil.copytree(Path("first/images/Noisy-t0.8"), "elsewhere")
    named = f"sampler.py:Gaussian,other={elsewhere}"
    assert command(*words(named, samples=5)).code == 0
    assert command(*words(named, samples=5, out="later", columns="psnr")).code == 0
    found = command("score", "later", "--metrics", COLUMNS)
    assert found.code == 0, found.err
    values = recorded()
    assert {key: value for key, value in recorded("later").items() if key[1] != "psnr"} == values
    assert {key[:2] for key, value in values.items() if value is None} == {("other", "nll")}
    findings = verify(Path("run"), resample="all")
    assert findings.verdict == "proven", findings.findings
    assert findings.verified == len(values)


def test_which_columns_runs_of_two_and_three_samples_share(bench, command):
    for samples in (2, 3):
        assert command(*words("sampler.py:Gaussian", samples=samples, out=f"runs/{samples}")).code == 0
    signatures = [
        {
            facts["name"]: facts["signature"]
            for facts in json.loads(Path(f"runs/{n}/manifest.json").read_text())["metrics"]
        }
        for n in (2, 3)
    ]
    differ = {name for name in signatures[0] if signatures[0][name] != signatures[1][name]}
    assert differ == {"psnr_mean", "outside"}
    assert signatures[0]["outside"] == "OUTSIDE|RGB|floor|ties-shared|v1|n2"
    assert signatures[0]["nll"] == "NLL|RGB|uniform|even|v1"
    assert command("report", "runs").code == 0
    rows = list(csv.DictReader(Path("runs/report/table.csv").read_text().splitlines()))
    columns = {name: {row["signature"] for row in rows if row["metric"] == name} for name in COLUMNS.split(",")}
    assert {name for name, shared in columns.items() if len(shared) > 1} == differ, "the others have one column"
    assert all(columns.values())


def test_the_suite_by_a_flow(bench, command):
    found = command(*words("bicubic,srflow", "--suite", "distribution", "--limit", 1, samples=2, columns=""))
    assert found.code == 0, found.err
    values = recorded()
    assert {metric for _, metric, _ in values} == set(read_suite("distribution").metrics)
    assert {key[:2] for key, value in values.items() if value is None} == {
        ("bicubic", name) for name in ("spread_skill", "outside", "nll")
    }
    assert "vary (sigma " in found.out, "and not by how they are calibrated"


def test_one_sample_leaves_what_needs_two(bench, command):
    found = command(*words("sampler.py:Gaussian", "--suite", "distribution", samples=1, columns=""))
    assert found.code == 0, found.err
    assert {metric for _, metric, _ in recorded()} == {"psnr", "crps", "lpips", "lpips_energy", "lr_psnr", "nll"}


def test_lpips_and_what_is_made_of_it_compute_features_once(monkeypatch):
    computed, features = [], lpips_network.Network.features
    monkeypatch.setattr(lpips_network.Network, "features", lambda *given: computed.append(1) or features(*given))
    samples, hr = torch.stack([drawn(seed, 64, 64) for seed in range(3)]), drawn(3, 64, 64) / 255
    alone = [measure(metric(), samples, ImagePair("a", hr, hr)) for metric in (LPIPS, LPIPSEnergy, PairwiseLPIPS)]
    assert len(computed) == 4 * 3
    for order in ((0, 1, 2), (2, 1, 0)):
        computed.clear()
        pair, classes = ImagePair("a", hr, hr), (LPIPS, LPIPSEnergy, PairwiseLPIPS)
        found = {place: measure(classes[place](), samples, pair) for place in order}
        assert [found[place] for place in range(3)] == alone, "to the last bit"
        assert len(computed) == 4
        pair.shared.forget(samples)
        assert {image.shape for image, _, _ in pair.shared._of.values()} == {hr.shape}, "features of HR alone are kept"
    monkeypatch.setattr(lpips_network, "HELD", 0)
    assert [measure(metric(), samples, ImagePair("a", hr, hr)) for metric in (LPIPS, LPIPSEnergy)] == alone[:2]


def test_pairwise_lpips_needs_no_hr():
    samples = torch.stack([drawn(seed, 64, 64) for seed in range(3)])
    wanted = PairwiseLPIPS()(samples, ImagePair("a", hr=drawn(3, 64, 64) / 255)).item()
    assert PairwiseLPIPS()(samples, ImagePair("a")).item() == pytest.approx(wanted, rel=1e-12)
    assert PairwiseLPIPS()(samples[:1], ImagePair("a")).item() == 0


def test_spread_skill_is_none_where_it_does_not_apply():
    hr = [drawn(9), drawn(8)]
    two, three = (torch.stack([drawn(seed) for seed in range(n)]) for n in (2, 3))
    found = SpreadSkill()(image_set([two, two], hr))
    assert found == spread_skill(*zip(*(spread_and_error(two, image) for image in hr), strict=True), 2)
    for outputs in ([two[:1], two[:1]], [two, three], [two, two[:1]], [two[:1], two]):
        assert SpreadSkill()(image_set(outputs, hr)) is None
    equal = torch.stack([hr[0], hr[0]])
    assert SpreadSkill()(image_set([equal], hr[:1])) is None, "0 / 0"


def test_outside_refuses_what_is_no_output():
    pair = ImagePair("a", hr=drawn(1) / 255)
    with pytest.raises(MetricError, match="a: the model returned"):
        Outside()(torch.zeros(2, 3, 8, 8), pair)


def test_the_documents_have_every_signature():
    text = (Path(__file__).parents[3] / "docs" / "distribution.md").read_text()
    for name in COLUMNS.split(","):
        facts = open_metric(name, "round", 10).info
        signature = facts.signature.partition("|")[2].replace("|", "\\|")
        assert f"| {facts.title} | `{signature}` |" in text


def test_nll_of_a_flow_whatever_the_temperature_and_of_no_wrapped_model():
    flow, hr = small_flow(4), drawn(5, 36, 40)
    pair = ImagePair("a", downscale_uint8(hr, 4) / 255, hr / 255)
    bits = bits_per_dimension(flow, pair.lr, pair.hr)
    assert {NLL().measure(ModelCall(flow, temperature, "cpu"), pair) for temperature in (0.5, 1.0)} == {bits}
    assert NLL().measure(ModelCall(Consistent(flow, 4), 1.0, "cpu"), pair) is None


def test_functions_refuse_samples_of_another_size():
    for function in (metrics.crps, metrics.lpips_energy):
        with pytest.raises(MetricError, match=r"samples are \(2, 3, 64, 64\) and HR is \(3, 64, 68\)"):
            function(torch.zeros(2, 3, 64, 64), torch.zeros(3, 64, 68))
        with pytest.raises(MetricError, match=r"HR is \(2, 3, 64, 64\)"):
            function(torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 64, 64))
