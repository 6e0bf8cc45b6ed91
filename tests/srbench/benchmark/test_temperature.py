"""The temperature of samples: that stated in the weights of each model, unless the request names others."""

from __future__ import annotations

from pathlib import Path

import pytest

from srbench.api import evaluate
from srbench.images.io import read_recipe
from srbench.run_folder.manifest import read_manifest

STATING = """
import torch
import torch.nn.functional as F
from srbench.interfaces import WeightsInfo


class Unstated:
    scale = 4

    def sample(self, lr, n, *, temperature, generator):
        return F.interpolate(lr[None], scale_factor=4) + 0.1 * temperature * torch.rand(n, 1, 1, 1, generator=generator)


class Stated(Unstated):
    weights = WeightsInfo("0" * 64, "MIT", "nothing", 0, temperature=0.45)


class Zero(Unstated):
    weights = WeightsInfo("0" * 64, "MIT", "nothing", 0, temperature=0.0)
"""


@pytest.fixture
def stating(tmp_path):
    (tmp_path / "stating.py").write_text(STATING)
    return [f"stating.py:{name}" for name in ("Unstated", "Stated", "Zero")]


def labels(out="run"):
    return [setting.label for setting in read_manifest(Path(out)).settings]


def test_each_model_has_its_own_temperature(command, photos, stating):
    request = ("run", "--models", ",".join(stating), "--scale", 4, "--data", photos, "--limit", 1, "--metrics", "psnr")
    expected = command(*request, "--out", "run", "--dry-run")
    assert [line.split(":")[0].strip() for line in expected.out.splitlines() if line.endswith(": 1 image")] == [
        "Unstated-t0.8",
        "Stated-t0.45",
        "Zero-t0",
    ]
    assert command(*request, "--out", "run").code == 0
    assert labels() == ["Unstated τ=0.8", "Stated τ=0.45", "Zero τ=0"]
    assert "Stated τ=0.45" in Path("run/report/report.md").read_text()
    assert command(*request, "--out", "other", "--temperature", "0.6,0.2").code == 0
    assert labels("other") == [f"{name} τ={t}" for name in ("Unstated", "Stated", "Zero") for t in (0.2, 0.6)]


def test_a_file_and_python(command, photos, stating):
    models = ", ".join(f'"{name}"' for name in stating)
    text = f'models = [{models}]\nscale = 4\ndata = "{photos}"\nlimit = 1\nmetrics = ["psnr"]\nout = "run"\n'
    Path("bench.toml").write_text(text)
    assert command("run", "bench.toml").code == 0
    assert labels() == ["Unstated τ=0.8", "Stated τ=0.45", "Zero τ=0"]
    options = {"scale": 4, "limit": 1, "metrics": ["psnr"], "progress": False}
    table = evaluate(stating, photos, **options).table
    assert [*table.index] == [("Unstated", 0.8), ("Stated", 0.45), ("Zero", 0.0)]
    assert [*evaluate(stating[1], photos, temperature=0.6, **options).table.index] == [("Stated", 0.6)]


def test_upscaling(command, photos, stating):
    image = photos / "a.png"
    words = ("--scale", 4, "--out", "up")
    assert command("upscale", image, "--models", ",".join(stating), *words).code == 0
    stated = {file.parent.name: read_recipe(file) for file in Path("up").rglob("*.png")}
    assert '"temperature": 0.45' in stated["Stated-t0.45"]
    assert '"temperature": 0.8' in stated["Unstated-t0.8"]
    assert '"temperature": 0.0' in stated["Zero-t0"]
    assert (
        "1 already made"
        in command("upscale", image, "--models", stating[1], *words[:2], "--out", "up/Stated-t0.45", "--dry-run").out
    )
