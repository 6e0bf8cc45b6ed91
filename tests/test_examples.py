"""The files in examples/ are what a newcomer starts from: short, and right."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml

from srbench.interfaces import ImagePair
from srbench.models.inference import SamplingParameters, upscale
from srbench.models.loading import load_model

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def command_in(name: str) -> list[str]:
    """The arguments of the command in the docstring of an example."""
    first = (EXAMPLES / name).read_text().splitlines()[0]
    return re.search(r"srbench (run .*?)\.?(\"\"\"|$)", first)[1].split()


def test_the_example_metric_gives_the_right_numbers():
    """One channel of three 30 levels too bright is 10 levels on average."""
    metric = runpy.run_path(str(EXAMPLES / "my_metric.py"))["MyMetric"]()
    hr = torch.full((3, 8, 8), 100 / 255)
    samples = torch.stack([hr, hr, torch.ones_like(hr)])
    samples[1, 0] += 30 / 255
    values = metric(samples, ImagePair("grey", hr[:, ::4, ::4], hr))
    assert values.dtype == torch.float64
    assert values.tolist() == pytest.approx([0, 10, 155], abs=1e-4)


@pytest.mark.parametrize("name", ["my_model.py", "my_metric.py", "my_dataset.py", "denoise.py"])
def test_the_commands_in_the_examples(name, srbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    if name == "my_model.py":
        runpy.run_path(f"examples/{name}", run_name="__main__")
    cheap = [] if name == "my_metric.py" else ["--metrics", "psnr"]
    found = srbench(*command_in(name), "--limit", 1, "--out", tmp_path / "run", *cheap)
    assert found.exit_code == 0, found.output
    shown = {
        "my_model.py": "MyModel-my_model",
        "my_metric.py": "MAE",
        "my_dataset.py": "bicubic",
        "denoise.py": "Median",
    }
    assert shown[name] in found.stdout
    assert srbench("verify", tmp_path / "run").exit_code == 0


def test_the_tour(tmp_path):
    """Run as a script, as every cell in a notebook would be."""
    script = EXAMPLES / "tour.py"
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=600
    )
    assert ": proven: " in done.stdout
    assert "6 of 6 items by their models" in done.stdout
    assert done.stdout.rstrip().endswith("report.md")


def test_the_example_diffusion_upscaler(monkeypatch, tmp_path):
    """On a pipeline that stands in for the one that it would download; the samples follow from the seed."""

    class Pipeline:
        @classmethod
        def from_pretrained(cls, name):
            assert name == "stabilityai/stable-diffusion-x4-upscaler"
            return cls()

        def set_progress_bar_config(self, disable):
            assert disable

        def to(self, device):
            assert device.type == "cpu"

        def __call__(self, prompt, image, generator, output_type):
            assert (prompt, output_type) == ("", "pt")
            assert image.min() < 0
            noise = 0.1 * torch.randn((1, 3, 4 * image.shape[-2], 4 * image.shape[-1]), generator=generator)
            images = torch.nn.functional.interpolate(image, scale_factor=4) / 2 + 0.5 + noise
            return SimpleNamespace(images=images)

    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(StableDiffusionUpscalePipeline=Pipeline))
    loaded = load_model(f"{EXAMPLES / 'diffusers_upscaler.py'}:Upscaler", 4, "cpu")
    lr = torch.rand(3, 8, 8)
    one, two, other = (
        upscale(loaded.model, "a", lr, SamplingParameters(0.8, 2, seed), "cpu").images for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


def test_the_means_for_the_hugging_face_hub(tmp_path):
    """Every mean of the table, as YAML."""
    run = ROOT / "reports/photos-x8"
    script = [sys.executable, str(EXAMPLES / "hugging_face.py"), str(run), "owner/photos"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=True)
    table = pd.read_csv(run / "report/table.csv")
    assert len(done.stdout.splitlines()) == len(table)
    for file, (_, row) in zip(done.stdout.splitlines(), table.iterrows(), strict=True):
        entries = yaml.safe_load((tmp_path / file).read_text())
        assert [entry["value"] for entry in entries] == [row[name] for name in table.columns[4:12]], file
        assert {entry["dataset"]["id"] for entry in entries} == {"owner/photos"}
    assert entries[1]["dataset"]["task_id"] == "x8-ssim"
    assert "SSIM|RGB|floor|uniform7|crop3|v1; 22 images" in entries[1]["notes"]


def test_the_script_for_the_hugging_face_hub_without_arguments(tmp_path):
    script = [sys.executable, str(EXAMPLES / "hugging_face.py")]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0].endswith("Hub: python examples/hugging_face.py runs/NAME OWNER/DATASET")
