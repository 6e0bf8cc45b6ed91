"""Clips: images in subfolders, and means by folder. Six clips of ten frames; frames of a clip are much alike."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import drawn

from srbench.images.io import read_uint8, write_png
from srbench.images.resize import downscale_uint8

CLIPS, FRAMES = 6, 10
NAMES = [f"{clip:03d}-{frame:05d}" for clip in range(CLIPS) for frame in range(FRAMES)]
MEASURE = ("measure", "--hr", "hr", "--metrics", "psnr", "--workers", 1)


def noisy(image: torch.Tensor, spread: float, seed: int) -> torch.Tensor:
    """An image with normal noise, as uint8."""
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + spread * noise).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders hr and lr, and outputs good and poor, in clips: noise differs more between clips than within one."""
    folder = tmp_path_factory.mktemp("clips")
    for clip in range(CLIPS):
        still = drawn(clip)
        for frame in range(FRAMES):
            hr, name, seed = noisy(still, 2, frame), f"{clip:03d}/{frame:05d}.png", 10 * clip + frame
            write_png(folder / "hr" / name, hr)
            write_png(folder / "lr" / name, downscale_uint8(hr, 4))
            write_png(folder / "good" / name, noisy(hr, 2 + 2 * clip, seed))
            write_png(folder / "poor" / name, noisy(hr, 3 + 2 * clip + frame / 20, 100 + seed))
    return folder


@pytest.fixture
def clips(made, monkeypatch, tmp_path):
    """The current folder, which has hr, lr, good and poor."""
    monkeypatch.chdir(tmp_path)
    for name in ("hr", "lr", "good", "poor"):
        Path(name).symlink_to(made / name)
    return tmp_path


def psnr(outputs: str, name: str) -> float:
    """PSNR of an image by numpy."""
    file = name.replace("-", "/") + ".png"
    images = [read_uint8(Path(folder) / file).numpy().astype(float) for folder in (outputs, "hr")]
    return 10 * np.log10(255**2 / np.mean((images[0] - images[1]) ** 2))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_outputs_in_clips_are_measured(clips, command):
    found = command(*MEASURE, "good", "--format", "csv")
    assert found.code == 0, found.err
    assert {row["image"]: float(row["value"]) for row in rows_of(found.out)} == pytest.approx(
        {name: psnr("good", name) for name in NAMES}
    )


def test_outputs_that_lack_a_frame_are_refused(clips, command):
    write_png(clips / "some" / "000" / "00000.png", read_uint8(Path("good/000/00000.png")))
    refused = command(*MEASURE, "some")
    assert refused.code == 1
    assert "some lacks 000-00001, 000-00002" in refused.err


def test_models_and_outputs_made_elsewhere_run_on_clips(clips, command):
    """With LR made from HR, and with its own; names of saved images are those of the dataset."""
    words = ("--models", "bicubic,good=good", "--scale", 4, "--metrics", "psnr", "--workers", 1)
    for data in (("--data", "hr"), ("--hr", "hr", "--lr", "lr")):
        out = Path(f"run{data[0]}")
        assert command("run", *words, *data, "--out", out).code == 0
        values = {
            row["image"]: float(row["value"])
            for row in rows_of((out / "report" / "rows.csv").read_text())
            if row["model"] == "good"
        }
        assert values == pytest.approx({name: psnr("good", name) for name in NAMES})
    assert (out / "images" / "bicubic" / "000-00000.png").is_file()
    again = command("measure", out / "images" / "good", "--hr", "hr", "--metrics", "psnr", "--format", "csv")
    assert {row["image"] for row in rows_of(again.out)} == set(NAMES), "flat names are paired with those in clips"
