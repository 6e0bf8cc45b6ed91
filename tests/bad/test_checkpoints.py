"""Bad files and odd images at the command line: one clear line and exit code 1, or the image is measured."""

import json
import os
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from srbench.weights.files import load_weights, save_weights

GOLDEN = Path(__file__).parents[1] / "golden" / "srflow"
SCALE = 4


class Malicious:
    def __reduce__(self):
        return os.system, ("touch ran",)


def halved(path, of):
    path.write_bytes(of.read_bytes()[: of.stat().st_size // 2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, srbench):
    """Official checkpoints of 4x and 8x, a preset and a weights file of the first, and what can be wrong with them."""
    folder = tmp_path_factory.mktemp("files")
    for scale in (4, 8):
        official = load_file(GOLDEN / f"x{scale}_tiny" / "weights.safetensors")
        torch.save(official, folder / f"x{scale}.pth")
    blocks = json.loads((GOLDEN / "x4_tiny" / "meta.json").read_text())["blocks"]
    preset = (files("srflow") / "presets" / "df2k-x4.toml").read_text()
    for full, tiny in [("[1, 8, 15, 22]", str(blocks)), ("steps = 16\n", "steps = 2\n"), ("blocks = 23", "blocks = 2")]:
        assert full in preset
        preset = preset.replace(full, tiny)
    (folder / "tiny.toml").write_text(preset)
    fine = folder / "fine.safetensors"
    assert srbench("convert", folder / "x4.pth", "--preset", folder / "tiny.toml", "--out", fine).exit_code == 0

    halved(folder / "cut.pth", folder / "x4.pth")
    halved(folder / "cut.safetensors", fine)
    torch.save({"a": Malicious()}, folder / "evil.pth")
    official = torch.load(folder / "x4.pth", weights_only=True)
    broken = "flowUpsamplerNet.layers.3.affine.fAffine.2.weight"
    torch.save(official | {broken: torch.full_like(official[broken], float("nan"))}, folder / "nan.pth")
    tensors, metadata = load_weights(fine)
    tensors["encoder.conv_first.bias"][0] = float("nan")
    save_weights(folder / "nan.safetensors", tensors, metadata)
    save_weights(folder / "x8.safetensors", tensors | {"encoder.conv_first.bias": torch.zeros(64)},
                 metadata | {"scale": "8"})  # fmt: skip
    return folder


@pytest.fixture
def measure(srbench, folder, monkeypatch, tmp_path):
    """Run a model on one pair of random images; the LR image has (channels, height, width)."""
    monkeypatch.chdir(tmp_path)

    def call(name, shape, *options):
        generator = torch.Generator().manual_seed(1)
        for kind, times in (("hr", SCALE), ("lr", 1)):
            channels, height, width = shape
            size = (height * times, width * times, channels)
            image = torch.randint(256, size, generator=generator, dtype=torch.uint8).squeeze(2)
            (tmp_path / kind).mkdir()
            Image.fromarray(image.numpy()).save(tmp_path / kind / "p.png")
        arguments = ["--models", f"srflow:{folder / name}", "--scale", SCALE, "--hr", "hr", "--lr", "lr"]
        return srbench("run", *arguments, "--samples", 2, "--out", "run", *options)

    return call


FAULTS = [
    ("cut.pth", "truncated, or no checkpoint"),
    ("evil.pth", f"wants to run code ({os.system.__module__}.system)"),
    ("nan.pth", "flowUpsamplerNet.layers.3.affine.fAffine.2.weight has values that are not finite"),
]


def one_line(found, name, fault):
    assert found.exit_code == 1
    assert not found.stdout
    [line] = found.stderr.splitlines()
    assert line.startswith("srbench: ")
    assert f"{name}: " in line
    assert fault in line
    assert not Path("ran").exists()


@pytest.mark.parametrize(("name", "fault"), [*FAULTS, ("x8.pth", "a checkpoint of scale 8, but the preset")])
def test_convert(srbench, folder, tmp_path, monkeypatch, name, fault):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.safetensors"
    one_line(srbench("convert", folder / name, "--preset", folder / "tiny.toml", "--out", out), name, fault)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *FAULTS,
        ("x8.pth", "an SRFlow network of scale 8, 2 encoder blocks and 2 steps, for which there is no preset"),
        ("cut.safetensors", "damaged, or no safetensors file"),
        ("nan.safetensors", "encoder.conv_first.bias has values that are not finite"),
        ("x8.safetensors", "weights for scale 8, not 4; use --scale 8"),
    ],
)
def test_run(measure, name, fault):
    one_line(measure(name, (3, 6, 6)), name, fault)
    assert not Path("run").exists()


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 1, 8), (3, 7, 1)], ids=["grey", "one row", "one column"])
def test_odd_images_are_measured(measure, shape):
    found = measure("fine.safetensors", shape, "--metrics", "psnr,lr_psnr,sigma", "--tile", 16)
    assert found.exit_code == 0, found.stderr
    assert "srflow-fine" in found.stdout
