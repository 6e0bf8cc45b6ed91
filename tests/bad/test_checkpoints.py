"""Official checkpoints that are damaged or of another network, and odd images that a network measures."""

import json
import os
import re

import numpy as np
import pytest
import torch
from official import GOLDEN, checkpoint
from PIL import Image
from small_presets import resized

from srbench.weights.files import load_weights, save_weights


class Malicious:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, srbench):
    """Official checkpoints of 4x and 8x, a preset and a weights file of the first, and what can be wrong with them."""
    folder = tmp_path_factory.mktemp("files")
    for scale in (4, 8):
        torch.save(checkpoint(f"x{scale}_tiny"), folder / f"x{scale}.pth")
    blocks = json.loads((GOLDEN / "x4_tiny" / "meta.json").read_text())["blocks"]
    (folder / "tiny.toml").write_text(resized("srflow", "df2k-x4", stacked=blocks, steps=2, blocks=2))
    fine = folder / "fine.safetensors"
    assert srbench("convert", folder / "x4.pth", "--preset", folder / "tiny.toml", "--out", fine).exit_code == 0

    content = (folder / "x4.pth").read_bytes()
    (folder / "cut.pth").write_bytes(content[: len(content) // 2])
    torch.save({"a": Malicious()}, folder / "evil.pth")
    official = torch.load(folder / "x4.pth", weights_only=True)
    broken = "flowUpsamplerNet.layers.3.affine.fAffine.2.weight"
    torch.save(official | {broken: torch.full_like(official[broken], float("nan"))}, folder / "nan.pth")
    tensors, metadata = load_weights(fine)
    tensors["encoder.conv_first.bias"][0] = float("nan")
    save_weights(folder / "nan.safetensors", tensors, metadata)
    return folder


FAULTS = [
    ("cut.pth", "truncated, or not a checkpoint"),
    ("evil.pth", f"would run code ({os.system.__module__}.system)"),
    ("nan.pth", "flowUpsamplerNet.layers.3.affine.fAffine.2.weight has values that are not finite"),
]


@pytest.mark.parametrize(("name", "fault"), [*FAULTS, ("x8.pth", "the checkpoint has scale 8, but the preset")])
def test_convert(refused, folder, tmp_path, name, fault):
    command = f"convert {folder}/{name} --preset {folder}/tiny.toml --out {{here}}/out.safetensors"
    found = refused(command, f"{name}: .*{re.escape(fault)}")
    assert len(found.output.splitlines()) == 1
    assert not list(tmp_path.iterdir()), "no code of the file has run"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *FAULTS,
        ("x8.pth", "no preset matches this SRFlow network (scale 8, 2 encoder blocks, 2 steps)"),
        ("nan.safetensors", "encoder.conv_first.bias has values that are not finite"),
    ],
)
def test_run(refused, folder, tmp_path, name, fault):
    command = f"run --models srflow:{folder}/{name} --scale 4 --data {{bad}}/fine --samples 2 --out {{here}}/run"
    found = refused(command, f"{name}: .*{re.escape(fault)}")
    assert len(found.output.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 1, 8)], ids=["grey", "one row"])
def test_odd_images_are_measured(srbench, folder, tmp_path, shape):
    """A pair of random images; LR has (channels, height, width)."""
    channels, height, width = shape
    for kind, times in (("hr", 4), ("lr", 1)):
        pixels = np.random.default_rng(1).integers(256, size=(height * times, width * times, channels), dtype=np.uint8)
        (tmp_path / kind).mkdir()
        Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels).save(tmp_path / kind / "p.png")
    pair = ("--scale", 4, "--hr", tmp_path / "hr", "--lr", tmp_path / "lr", "--samples", 2, "--tile", 16)
    options = ("--metrics", "psnr,lr_psnr,sigma", "--out", tmp_path / "run")
    found = srbench("run", "--models", f"srflow:{folder}/fine.safetensors", *pair, *options)
    assert found.exit_code == 0, found.stderr
    assert "srflow-fine" in found.stdout
