"""srbench from Python: what evaluate takes and gives, and when its results are those of another model."""

from __future__ import annotations

import gc

import pytest
import torch

import srbench
from srbench.api import EvaluationError
from srbench.benchmark.sampler import Sampler
from srbench.data.datasets import Folder, PairedFolders
from srbench.images.io import read_uint8, write_png
from srbench.images.resize import downscale_uint8
from srbench.interfaces import SRBenchError
from srbench.reporting import ReportError
from srbench.verification.findings import Findings


def nearest(lr):
    return torch.nn.functional.interpolate(lr, scale_factor=4)


class Darker:
    """Has an attribute that changes its outputs."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, lr):
        return self.factor * nearest(lr)


class Noisy:
    scale = 4

    def sample(self, lr, n, *, temperature, generator):
        up = nearest(lr[None])
        return up + temperature * 0.1 * torch.randn((n, *up.shape[1:]), generator=generator)


class WithoutScale:
    def sample(self, lr, n, *, temperature, generator): ...


class Network(torch.nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.mode = mode
        self.convolution = torch.nn.Conv2d(3, 3, 1)

    def forward(self, lr):
        return torch.nn.functional.interpolate(self.convolution(lr), scale_factor=4, mode=self.mode)


def evaluated(models, photos, **options):
    return srbench.evaluate(models, photos, **{"scale": 4, "limit": 2, "metrics": ["psnr"]} | options)


def test_a_typo_costs_two_frames_and_the_frames_of_a_failing_model_are_shown(photos):
    results = evaluated("bicubic", photos)
    for typo in (
        lambda: evaluated("bicubik", photos),
        lambda: srbench.load_model("bicubik", 4),
        lambda: results.compare("bicubik", "bicubic"),
        lambda: results.score("psnrr"),
        lambda: results.report(formats=("pdf",)),
    ):
        with pytest.raises(SRBenchError) as caught:
            typo()
        modules = [entry.frame.f_globals["__name__"] for entry in caught.traceback]
        assert [name for name in modules if name.startswith("srbench.")] == ["srbench.api"]
    (photos / "own.py").write_text("def model():\n    raise KeyError('x')\n")
    with pytest.raises(SRBenchError) as caught:
        srbench.load_model(f"{photos}/own.py:model", 4)
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__cause__.__traceback__ is not None


def test_what_srbench_offers():
    assert srbench.__all__ == sorted(srbench.__all__)
    assert all(hasattr(srbench, name) for name in srbench.__all__)
    assert dir(srbench) == srbench.__all__
    assert srbench.metrics.__all__ == sorted(srbench.metrics.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        srbench.evaluat  # noqa: B018


@pytest.mark.parametrize(
    ("models", "labels"),
    [
        ("bicubic", ["bicubic"]),
        (["bicubic", nearest], ["bicubic", "nearest"]),
        (nearest, ["nearest"]),
        (lambda lr: nearest(lr), ["lambda"]),
        (Network("nearest"), ["Network"]),
        (torch.nn.Sequential(torch.nn.Upsample(scale_factor=4)), ["Sequential"]),
        ({"mine": nearest, "cubic": "bicubic"}, ["mine", "cubic"]),
        ((Darker(1.0), Noisy()), ["Darker", "Noisy"]),
    ],
)
def test_models_of_every_kind(photos, models, labels):
    results = evaluated(models, photos)
    assert results.table.index.get_level_values("model").tolist() == labels
    assert results.failures == ()
    assert results.table["n"].tolist() == [2] * len(labels)


def test_the_scale_is_that_of_the_models(photos):
    assert evaluated([Noisy(), "bicubic"], photos, scale=None).manifest.protocol.scale == 4


def test_results(photos):
    steps = []
    results = evaluated([nearest, Noisy()], photos, temperature=[0, 0.8], samples=2, progress=steps.append)
    assert list(results.table["psnr"].round(1).index) == [
        ("nearest", pytest.approx(float("nan"), nan_ok=True)),
        ("Noisy", 0.0),
        ("Noisy", 0.8),
    ]
    assert list(results.rows.columns) == ["model", "temperature", "image", "sample", "metric", "value"]
    assert len(results.rows) == 2 * (1 + 2 + 2)
    assert results.table.columns.tolist() == ["psnr", "n"]
    assert results.intervals.columns.tolist() == ["psnr", "psnr_low", "psnr_high", "n", "not_finite"]
    assert (results.table["psnr"] == results.intervals["psnr"].round(2)).all()
    assert results.table["psnr"].iloc[0] != results.intervals["psnr"].iloc[0]
    assert repr(results).endswith("nearest, Noisy τ=0, Noisy τ=0.8; 2 images)")
    found = results.compare("nearest", "Noisy-t0.8")
    assert found.index.tolist() == ["psnr"]
    assert found.loc["psnr", ["wins", "ties", "losses"]].tolist() == [2, 0, 0]
    assert found.loc["psnr", "difference"] == pytest.approx(found.loc["psnr", "a"] - found.loc["psnr", "b"])
    assert (steps[-1].done, steps[-1].total) == (6, 6)
    assert {"nearest a", "Noisy-t0.8 b"} < {step.what for step in steps}
    scored = results.score("ssim")
    assert scored.table.columns.tolist()[:1] == ["psnr"]
    assert "ssim" in scored.table
    findings = scored.verify()
    assert isinstance(findings, Findings)
    assert findings.holds, findings.text()


def test_models_of_ones_own_run_again(photos):
    """sigma needs outputs that are not rounded, and resampling the model: both are still there."""
    results = evaluated([Noisy(), lambda lr: nearest(lr)], photos, samples=6)
    scored = results.score("sigma")
    assert scored.failures == ()
    assert scored.table["sigma"].tolist() == pytest.approx([20.4, 0], abs=1)
    findings = scored.verify(resample=4)
    assert (findings.sampled, findings.verdict) == (4, "proven")
    unknown = srbench.Results(results.folder).verify(resample=4)
    assert (unknown.sampled, unknown.verdict) == (0, "unverified")


def test_the_report_is_a_run_folder_of_its_own(photos, tmp_path):
    results = evaluated("bicubic", photos)
    report = results.report(tmp_path / "kept", formats=["md"])
    assert report == tmp_path / "kept" / "report" / "report.md"
    assert srbench.Results(tmp_path / "kept").rows.equals(results.rows)
    assert srbench.Results(tmp_path / "kept").verify().holds
    with pytest.raises(EvaluationError, match="already exists; choose another folder"):
        results.report(tmp_path / "kept")
    folder = results.folder
    assert folder.exists()
    del results
    gc.collect()  # the error that was caught refers to them
    assert not folder.exists()


def test_a_data_set_of_ones_own(photos):
    results = evaluated("bicubic", Folder(photos, 4, name="own"), crop=16)
    assert results.manifest.protocol.dataset == "own"
    assert results.manifest.protocol.crop == 16


def test_the_command_that_is_recorded(photos, tmp_path):
    """A command line where there is one that does the same; else the call."""
    commands = []
    for models, data in (("bicubic", photos), ({"mine": nearest}, photos), ({"a": "bicubic"}, Folder(photos, 4))):
        results = evaluated(models, data, out=tmp_path / str(len(commands)))
        commands.append(results.manifest.invocations[0].command)
    out = tmp_path / "0"
    assert commands[0] == f"srbench run --models bicubic --scale 4 --data {photos} --limit 2 --metrics psnr --out {out}"
    options = "scale=4, limit=2, metrics=['psnr'], out="
    assert commands[1] == f"srbench.evaluate(['mine=nearest'], '{photos}', {options}'{tmp_path / '1'}')"
    assert commands[2] == f"srbench.evaluate(['a=bicubic'], <Folder photos>, {options}'{tmp_path / '2'}')"


def test_hr_and_lr_are_paired_as_by_the_command(photos, tmp_path):
    lr = tmp_path / "lr"
    for name in ("a", "c", "d"):
        hr = read_uint8(photos / f"{name}.png")
        write_png(lr / f"{name}.png", downscale_uint8(hr, 4).flip(-1))
    (photos / "b.png").unlink()
    results = srbench.evaluate("bicubic", hr=photos, lr=lr, metrics=["psnr"], out=tmp_path / "run")
    by_object = evaluated("bicubic", PairedFolders(photos, lr, 4), limit=None)
    assert results.rows.equals(by_object.rows)
    assert not results.rows.equals(evaluated("bicubic", photos, limit=None).rows), "LR is not made from HR"
    command = results.manifest.invocations[0].command
    assert command == (
        f"srbench run --models bicubic --scale 4 --hr {photos} --lr {lr} --metrics psnr --out {tmp_path / 'run'}"
    )


def test_data_hr_and_lr_that_do_not_go_together(photos):
    for options, fault in (
        ({"hr": photos}, "hr is given without lr; give both"),
        ({"data": photos, "lr": photos}, "data is given together with hr or lr"),
    ):
        with pytest.raises(EvaluationError, match=fault):
            srbench.evaluate("bicubic", scale=4, **options)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"models": []}, "no models; name at least one"),
        ({"models": [3]}, "3 is not a model"),
        ({"models": [Noisy]}, "Noisy is a class; give an instance"),
        ({"models": ["bicubik"]}, "did you mean bicubic"),
        ({"models": ["bicubic", "bicubic"]}, "the label bicubic is taken by bicubic"),
        ({"models": {"hr": nearest}}, "the label hr is reserved"),
        ({"models": {"hr": "bicubic"}}, "hr=bicubic: the label hr is reserved; give another: LABEL=bicubic$"),
        ({"models": {"my/model": "bicubic"}}, "label 'my/model' in 'my/model=bicubic': use letters"),
        ({"models": WithoutScale()}, "WithoutScale has no attribute scale, .* add scale = 4"),
        ({"scale": None}, r"evaluate: scale is missing, and no model states one \(bicubic\); give scale=4, or add"),
        ({"scale": "4"}, "scale is '4'; "),
        ({"scale": 0}, "evaluate: scale is 0; it has to be 1 or more"),
        ({"temperature": -1}, "evaluate: -1.0 is not a temperature"),
        ({"metrics": "psnt"}, "did you mean psnr"),
        ({"metrics": []}, "evaluate: metrics is empty"),
        ({"metrics": [3]}, "evaluate: metrics 1: expected str, got int"),
        ({"samples": "5"}, "evaluate: samples: expected int, got str"),
        ({"limit": 2.5}, "evaluate: limit: expected int, got float"),
        ({"device": "gpu"}, "evaluate: device is 'gpu'; choose one of auto, cpu, cuda, cuda:N, mps"),
        ({"average": ["groups"]}, "evaluate: average: expected str, got a list"),
        ({"models": lambda lr: lr}, "nothing could be measured: lambda: a: the result has shape"),
    ],
)
def test_faults(photos, changes, fault):
    options = {"models": ["bicubic"]} | changes
    with pytest.raises(srbench.SRBenchError, match=fault):
        evaluated(options.pop("models"), photos, **options)


def test_a_digest_that_fails_is_an_error(photos):
    class Known(Darker):
        def digest(self):
            return f"darker {self.gain}"

    with pytest.raises(srbench.SRBenchError, match="digest of Known failed: AttributeError"):
        evaluated(Known(0.5), photos)


def test_a_model_of_no_module(photos):
    """As of a notebook, or of code that was executed as text."""
    namespace = {"__name__": "nowhere", "nearest": nearest}
    exec(compile("def mine(lr): return nearest(lr)", __file__, "exec"), namespace)
    assert evaluated(namespace["mine"], photos).failures == ()


def test_a_model_file_that_is_edited_meanwhile(photos, tmp_path):
    """A notebook goes on while the file beside it changes."""
    path = tmp_path / "mine.py"
    tables = []
    for factor in 1, 0.5:
        path.write_text(
            "import torch\nclass Mine:\n    scale = 4\n    def __call__(self, lr):\n"
            f"        return {factor} * torch.nn.functional.interpolate(lr, scale_factor=4)\n"
        )
        tables.append(evaluated([f"{path}:Mine"], photos, out=tmp_path / "run").table["psnr"].iloc[0])
    assert tables[1] < tables[0]


def test_a_label_that_no_name_of_a_model_may_have_leaves_the_other_models_loadable(photos):
    results = evaluated({"my net[v2]": nearest, "bicubic": "bicubic"}, photos)
    findings = results.verify(resample="all")
    assert findings.tried == 4
    assert [str(finding) for finding in findings.findings if "bicubic cannot be loaded" in str(finding)] == []
    sampler = Sampler(results.manifest, "cpu")
    assert sampler.load("bicubic").label == "bicubic"


def test_a_report_without_formats_is_refused_and_the_present_one_stays(photos):
    results = evaluated("bicubic", photos)
    page = results.report(formats=["md"])
    with pytest.raises(ReportError, match="no format of the report is given; choose from md, html, tex, csv"):
        results.report(formats=[])
    assert page.is_file()


def test_the_models_of_a_call_go_to_the_device_of_the_next(photos, monkeypatch):
    results = evaluated([Network("nearest")], photos, device="cpu")
    moved = []
    monkeypatch.setattr(Network, "to", lambda network, device: moved.append(device) or network)
    assert results.verify(resample="all", device="cpu").proven
    results.score("ssim", device="cpu")
    assert moved == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda: srbench.load_model("srflow", 3), "use scale=4 or 8, or name weights"),
        (lambda: srbench.load_model("srflow", 4, "cuda:9"), 'use device="auto" or cpu'),
        (
            lambda: srbench.evaluate("bicubic", scale=4, samples=1, metrics="sigma"),
            "raise samples, or leave it out of metr",
        ),
        (lambda: srbench.evaluate("bicubic", scale=4, average="groups"), r'^average="groups": abstract'),
        (
            lambda: srbench.evaluate("bicubic", scale=4, metrics="pyiqa:fid"),
            "use srbench measure DIR --hr DIR --metrics",
        ),
    ],
    ids=["scale", "device", "samples", "average", "command"],
)
def test_errors_name_arguments_instead_of_options(call, advice):
    """A command in a message stays as it is typed."""
    with pytest.raises(SRBenchError, match=advice):
        call()
