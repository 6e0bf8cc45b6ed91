"""Models in bfloat16: near float32, said in label and digest, refused where they would change nothing."""

from __future__ import annotations

import math

import pytest
import torch

from srbench.data.datasets import packaged_photos
from srbench.machine import precision
from srbench.models.inference import SamplingParameters, iterate_samples, upscale
from srbench.models.loading import load_model
from srbench.models.names import ModelSpec, with_absolute_paths
from srbench.plugins import PluginError

SIDE = 24


@pytest.fixture(autouse=True)
def with_instructions(monkeypatch):
    """torch computes in bfloat16 on any processor, slowly where it has no instructions for it."""
    monkeypatch.setattr(precision, "_cpu_flags", lambda: ["avx512_bf16"])


def lr_image(scale=8):
    return packaged_photos(scale).read("books").lr[:, 8 : 8 + SIDE, 8 : 8 + SIDE]


def outputs(text, scale=8, tile=None):
    return upscale(
        load_model(text, scale, "cpu").model, "books", lr_image(scale), SamplingParameters(0.8, 2, 0, tile), "cpu"
    ).images


def psnr(a, b):
    return -10 * math.log10((a.clamp(0, 1) - b.clamp(0, 1)).square().mean().item())


@pytest.mark.parametrize("name", ["rrdb", "esrgan", "rectified-flow", "srflow", "srflow-perceptual"])
def test_outputs_are_near_those_of_float32(name):
    exact, half = outputs(name), outputs(f"{name}+bf16")
    assert half.dtype == torch.float32
    assert not torch.equal(exact, half)
    assert psnr(half, exact) > 50


def test_samples_keep_lr_and_do_not_depend_on_tiles():
    lr, half = lr_image(), outputs("srflow+bf16")
    kept = torch.nn.functional.interpolate(half, scale_factor=1 / 8, mode="bicubic", antialias=True)
    assert psnr(kept, lr) > 45
    torch.testing.assert_close(outputs("srflow+bf16", tile=16), half, rtol=0, atol=0.02)
    assert psnr(half[0], half[1]) < 40, "two samples"


def test_the_outputs_of_a_network_can_be_made_consistent():
    lr, half = lr_image(), outputs("esrgan+bf16+consistent")
    loaded = load_model("esrgan+bf16+consistent", 8, "cpu")
    assert (loaded.label, loaded.projected) == ("esrgan+bf16+consistent", True)
    kept = torch.nn.functional.interpolate(half, scale_factor=1 / 8, mode="bicubic", antialias=True)
    assert psnr(kept, lr) > 45


@pytest.mark.parametrize("tile", [None, 16])
def test_the_thread_is_in_float32_between_samples(tile):
    model = load_model("srflow+bf16", 8, "cpu").model
    samples = iterate_samples(
        model, "books", lr_image(), SamplingParameters(0.8, 2, 0, tile), "cpu", lambda share: None
    )
    for image in samples:
        assert not torch.is_autocast_enabled("cpu")
        assert image.dtype == torch.float32


def test_precision_is_part_of_label_digest_and_path(tmp_path, monkeypatch):
    plain, half = (ModelSpec.parse(text) for text in ("srflow", "srflow+bf16"))
    assert (plain.label, half.label) == ("srflow", "srflow+bf16")
    assert plain.digest(8) != half.digest(8) == load_model("srflow+bf16", 8, "cpu").digest
    monkeypatch.chdir(tmp_path)
    (tmp_path / "4x.pth").touch()
    assert with_absolute_paths("a=4x.pth+bf16+consistent") == f"a={tmp_path}/4x.pth+bf16+consistent"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bicubic+bf16", "only a torch.nn.Module can run in bfloat16"),
        ("a={folder}+bf16", "\\+bf16 does not apply to a folder of results"),
    ],
)
def test_what_cannot_run_in_bfloat16_is_refused(text, message, tmp_path):
    with pytest.raises(PluginError, match=message):
        load_model(text.format(folder=tmp_path), 8, "cpu")


def test_a_processor_without_instructions_is_refused(monkeypatch):
    monkeypatch.setattr(precision, "_cpu_flags", lambda: ["avx2"])
    with pytest.raises(
        PluginError, match=r"srflow\+bf16: this machine has no bfloat16 instructions \(cpu\); omit \+bf"
    ):
        load_model("srflow+bf16", 8, "cpu")
