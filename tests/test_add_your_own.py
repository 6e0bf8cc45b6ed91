"""docs/add-your-own.md from top to bottom: its files are written, its commands run, in one folder."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from record_runs import by_image, values_in

from srbench.files.hashes import sha256_file
from srbench.interfaces import MetricFacts
from srbench.run_folder.manifest import read_manifest

PAGE = Path(__file__).parents[1] / "docs" / "add-your-own.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(
    not entry_points(group="srbench.metric_families"), reason="srbench has to be installed again: pip install -e ."
)


def test_all_values_of_facts_are_explained_in_place():
    hints = get_type_hints(MetricFacts)
    for name in ("sees", "per"):
        for value in get_args(hints[name]):
            assert f'`"{value}"`' in PAGE.read_text()
    assert set(get_args(get_args(hints["needs"])[0])) == {"HR", "LR", "scale"}


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """The folder in which a reader has done all that the page says, and what the commands said."""
    folder, said = tmp_path_factory.mktemp("reader"), []
    for kind, text in BLOCKS:
        if kind == "sh":
            for line in text.splitlines():
                name, *arguments = shlex.split(line)
                command = [sys.executable, *([] if name == "python" else ["-m", name]), *arguments]
                done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=folder)
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                said.append(done.stdout)
        elif named := re.match(r"# (\S+\.(?:py|toml))\n", text):
            (folder / named[1]).write_text(text)
    return folder, said


def test_blocks():
    assert [kind for kind, _ in BLOCKS].count("sh") == 8
    assert sum(text.startswith("# my_") for _, text in BLOCKS) == 8
    assert all(len(text.strip().splitlines()) <= 32 for _, text in BLOCKS)


def test_network_and_checkpoint(worked):
    models = read_manifest(worked[0] / "runs/net").models
    assert [model.label for model in models] == ["bicubic", "Net-my_net"]
    assert models[1].weights.sha256 == sha256_file(worked[0] / "my_net.pth")


def test_models_and_metric(worked):
    folder, _ = worked
    found = values_in(folder / "runs/model")
    assert len(found) == 8, "three models on two images; one of them at two temperatures"
    settings = read_manifest(folder / "runs/model").settings
    assert [(one.model, one.temperature) for one in settings] == [
        ("bicubic", None),
        ("Bilinear", None),
        ("Noisy", 0.5),
        ("Noisy", 1.0),
    ]
    assert all(set(by_metric) == {"psnr", "sigma", "mae"} for by_metric in found.values())
    for (model, *_), by_metric in found.items():
        assert (by_metric["sigma"] > 0) == (model == "Noisy")


def test_it_proves_itself(worked):
    assert any("8 of 8 items sampled again" in text and text.endswith(": proven\n") for text in worked[1])


def test_dataset(worked):
    found = by_image(worked[0] / "runs/stripes", "bicubic")
    assert set(found) == {"thin", "wide"}
    assert found["wide"]["psnr"] > found["thin"]["psnr"]


def test_degradation(worked):
    manifest = read_manifest(worked[0] / "runs/camera")
    assert manifest.protocol.lr == (
        "made from HR by camera@1: blur sigma 0.5..1.5 | downscale by area | noise sigma 0..5 grey False | "
        "jpeg quality 90 (seed 0)"
    )
    assert len(values_in(worked[0] / "runs/camera")) == 2


def test_suite(worked):
    manifest = read_manifest(worked[0] / "runs/suite")
    assert manifest.protocol.suite == "mine@1"
    signatures = [one.signature for one in manifest.metrics]
    assert [one for one in signatures if not one.startswith("PYIQA")] == [
        "PSNR|Y|round|crop4|v1",
        "SSIM|RGB|round|gaussian11|crop5|v1",
        "MAE|RGB|round|crop4|v1",
    ]
    assert len(values_in(worked[0] / "runs/suite")) == 4
