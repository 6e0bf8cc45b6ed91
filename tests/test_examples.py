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
from srflow.features import Features

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


@pytest.fixture
def example_layer():
    torch.manual_seed(0)
    return runpy.run_path(str(EXAMPLES / "my_layer.py"))


def test_the_log_determinant_of_the_example_layer(example_layer):
    layer, x = example_layer["Shift"](2, 3).double(), torch.rand(1, 2, 4, 4, dtype=torch.float64)
    condition = layer.condition(Features(torch.rand(1, 3, 4, 4, dtype=torch.float64), torch.empty(0)))
    matrix = torch.autograd.functional.jacobian(lambda x: layer(x, condition)[0], x).view(x.numel(), -1)
    torch.testing.assert_close(layer(x, condition)[1], torch.linalg.slogdet(matrix).logabsdet[None])


def test_the_halo_of_the_example_layer(example_layer):
    """The halos of other layers can hide one that is too small."""
    layer = example_layer["Shift"](2, 3).double()
    side = 2 * layer.halo + 3
    maps = [torch.rand(1, channels, side, side, dtype=torch.float64) for channels in (2, 3, 4)]

    def inverse(added):
        z, own, stacked = (each.clone() for each in maps)
        for each in (z, own, stacked):
            each[..., 0] += added
        return layer.inverse(z, layer.condition(Features(own, stacked)))[..., layer.halo + 1 :]

    torch.testing.assert_close(inverse(0.0), inverse(1.0), rtol=0, atol=1e-13)


def test_a_flow_with_the_example_layer_is_invertible_and_samples_in_tiles(example_layer):
    model = example_layer["make"](4).double().eval()
    assert sum(type(layer).__name__ == "Shift" for layer in model.modules()) > 10
    given = model.given(torch.rand(3, 40, 16, dtype=torch.float64))
    hr = torch.rand(1, 3, 160, 64, dtype=torch.float64)
    latents, _ = given.encode(hr)
    torch.testing.assert_close(given.decode(latents), hr)
    torch.testing.assert_close(given.decode(latents, tile=16), hr)


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
