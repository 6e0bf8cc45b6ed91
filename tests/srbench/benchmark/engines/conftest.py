"""A run of six small images, one of them damaged, by models of which one fails; and what is equal of two runs."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from srbench.benchmark.request import RunSpec
from srbench.images.io import write_png
from srbench.run_folder.manifest import read_manifest


@pytest.fixture
def spec(draw_image, models, tmp_path):
    """Six images, three models, seven samples of which five are kept, two temperatures."""
    for seed, name in enumerate("abcdef"):
        write_png(tmp_path / "images" / f"{name}.png", draw_image(seed, 32, 32 + 4 * (seed % 2)))
    content = (tmp_path / "images" / "c.png").read_bytes()
    (tmp_path / "images" / "c.png").write_bytes(content[: len(content) // 2])
    return RunSpec(
        models=tuple(f"{models}:{name}" for name in ("Nearest", "Noisy", "Raises")), scale=4,
        data=str(tmp_path / "images"), metrics=("psnr", "ssim", "sigma"), temperature=(0.3, 0.8), samples=7,
        out=str(tmp_path / "serial"),
    )  # fmt: skip


@pytest.fixture
def results(timeless):
    """All that a run folder holds, times, places of lines, tries and invocations aside."""

    def call(folder):
        files = {
            str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted((folder / "images").rglob("*.png"))
        }
        return timeless(folder), files, replace(read_manifest(folder), invocations=())

    return call
