"""Metrics of pyiqa by their names: the numbers of its own command line; what is missing is named in one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest
import torch

from srbench.facts import COLUMNS
from srbench.images import read_image, write_png
from srbench.metrics.from_pyiqa import PyIQA
from srbench.registry import RegistryError, open_metric
from srbench.results import rows_of
from srbench.run import run
from srbench.run_folder import RunFolder
from srbench.suite import open_metrics
from srbench.types import ImagePair, SRBenchError
from srbench.verify import verify

LOCAL = ("psnr", "psnry", "ssim", "ssimc", "ms_ssim", "cw_ssim", "fsim", "vif", "gmsd", "nlpd", "vsi", "mad", "piqe",
         "entropy")  # fmt: skip
"""Those that load nothing."""
LOWER_IS_BETTER = {"gmsd", "nlpd", "mad", "piqe"}

pytestmark = pytest.mark.skipif(
    not entry_points(group="srbench.metric_families"), reason="srbench has to be installed again: pip install -e ."
)


@pytest.fixture(scope="module")
def command_line(tmp_path_factory):
    """Two images of 192 x 192 as files, and what ``pyiqa METRIC...`` prints of them."""
    folder, generator = tmp_path_factory.mktemp("pyiqa"), torch.Generator().manual_seed(0)
    coarse = torch.rand((1, 3, 24, 24), generator=generator)
    hr = torch.nn.functional.interpolate(coarse, size=(192, 192), mode="bicubic")[0].clamp(0, 1)
    noisy = (hr + 0.05 * torch.randn(hr.shape, generator=generator)).clamp(0, 1)
    for name, image in (("hr", hr), ("sr", noisy)):
        write_png(folder / f"{name}.png", image.mul(255).to(torch.uint8))
    command = [sys.executable, "-c", "from pyiqa.pyiqa_cmd import main; main()", *LOCAL, "--device", "cpu",
               "-t", str(folder / "sr.png"), "-r", str(folder / "hr.png")]  # fmt: skip
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=500, cwd=folder)
    means = re.findall(r"'(\w+)': {'mean': np\.float64\(([-\d.e]+)\)}", printed.stdout)
    return folder, {name: float(value) for name, value in means}


@pytest.mark.parametrize("name", LOCAL)
def test_the_numbers_of_its_command_line(command_line, name):
    folder, printed = command_line
    hr, sr = (read_image(folder / f"{kind}.png") for kind in ("hr", "sr"))
    metric = open_metric(f"pyiqa:{name}")
    values = metric.metric(torch.stack([sr, sr]), ImagePair("a", hr[:, ::4, ::4], hr))
    assert values.dtype == torch.float64
    assert values[0] == values[1]
    assert values[0].item() == pytest.approx(printed[name], rel=1e-6)


@pytest.mark.parametrize("name", LOCAL)
def test_facts_come_from_pyiqa(name):
    import pyiqa

    facts = open_metric(f"pyiqa:{name}", "round").facts
    theirs = pyiqa.create_metric(name, device="cpu")
    assert facts.higher_is_better is not theirs.lower_better
    assert facts.higher_is_better == (name not in LOWER_IS_BETTER)
    assert facts.name == f"pyiqa_{name}"
    assert facts.title == f"{name} (pyiqa)"
    assert facts.signature == f"PYIQA-{name.upper().replace('_', '-')}|RGB|round|pyiqa{version('pyiqa')}|v1"
    assert f"range {theirs.score_range} by pyiqa; licence of pyiqa: PolyForm-Noncommercial" in facts.protocol
    assert ("compared with HR" in facts.protocol) == (theirs.metric_mode == "FR")


def test_in_a_run_beside_our_own(command_line, models, tmp_path):
    from srbench.plan import RunSpec

    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "hr.png").write_bytes((command_line[0] / "hr.png").read_bytes())
    done = run(RunSpec(models=(f"{models}:Nearest",), scale=4, data=str(folder), suite="srflow-round",
                       metrics=("psnr", "pyiqa:psnr", "pyiqa:gmsd"), out=str(tmp_path / "run")))  # fmt: skip
    assert done.failures == ()
    (row,) = rows_of(RunFolder.read(done.folder))
    assert list(row.values) == ["psnr", "pyiqa_psnr", "pyiqa_gmsd"]
    assert row.values["pyiqa_psnr"] == pytest.approx(row.values["psnr"], abs=1e-3)
    assert verify(done.folder, resample=1).proven


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("dists", r"it needs https://download\.pytorch\.org/models/vgg16-397923af\.pth; put that file at /.*vgg16"),
        ("cnniqa", r"it needs https://huggingface\.co/chaofengc/.*/CNNIQA.*\.pth; put that file at /.*pyiqa/CNNIQA"),
        ("afine_nr", r"it needs https://.*/ViT-B-32\.pt; put that file at /.*clip/ViT-B-32\.pt"),
        ("ahiq", r"it needs huggingface\.co/timm/resnet50\.a1_in1k; fetch that into its cache: hf download timm/"),
        ("fgresq", r"it needs huggingface\.co/\S+; fetch that into its cache: hf download"),
        ("fid", "compares sets of images"),
        ("distts", r"unknown metric of pyiqa 'distts'; did you mean dists\?"),
    ],
)
def test_what_is_missing_is_named_with_its_place(monkeypatch, capfd, name, fault):
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    with pytest.raises(SRBenchError, match=f"pyiqa:{name} cannot be loaded: {fault}|{fault}") as caught:
        open_metric(f"pyiqa:{name}")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_a_missing_module_is_named(monkeypatch):
    import pyiqa

    def created(*arguments, **named):
        raise ModuleNotFoundError("No module named 'pkg_resources'", name="pkg_resources")

    monkeypatch.setattr(pyiqa, "create_metric", created)
    with pytest.raises(SRBenchError, match="pip install 'setuptools<81'"):
        PyIQA("clipiqa")


def test_other_weights_are_another_metric(monkeypatch):
    """They have one name at pyiqa, and come from a cache that anyone can write to."""
    import pyiqa

    def digest(number):
        network = torch.nn.Linear(1, 1, bias=False)
        network.weight.data.fill_(number)
        network.lower_better, network.metric_mode, network.score_range = False, "NR", "0, 1"
        monkeypatch.setattr(pyiqa, "create_metric", lambda *arguments, **named: network)
        return open_metric("pyiqa:musiq").facts.digest

    assert digest(0.0) == digest(0.0)
    assert digest(0.0) != digest(1.0)


def test_a_variant_is_of_a_family():
    with pytest.raises(RegistryError, match="unknown metric 'pyiqa'"):
        open_metric("pyiqa")


def test_it_is_imported_only_when_asked_for():
    code = (
        "import sys, json; from srbench.suite import open_metrics, read_suite; "
        "open_metrics(None, read_suite('srflow').metrics, 'floor'); print(json.dumps('pyiqa' in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=300)
    assert json.loads(found.stdout) is False
    assert len(open_metrics(None, COLUMNS, "floor")) == len(COLUMNS)
