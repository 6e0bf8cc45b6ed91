"""A run of six small images, one of them damaged, by models of which one fails; and what is equal of two runs."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from srbench.images.io import write_png
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.request import RunSpec

KILLERS = '''
import os
import signal
from dataclasses import replace

import torch.nn.functional as F

from srbench.metrics.pixel import PSNR


class Deadly:
    """Repeats pixels; of a wide image it does not live to tell."""

    scale = 4

    def __call__(self, lr):
        if lr.shape[-1] > 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return F.interpolate(lr, scale_factor=4)


class DeadlyMetric(PSNR):
    def __init__(self):
        super().__init__()
        self.facts = replace(self.facts, name="deadly", title="Deadly")

    def __call__(self, samples, pair):
        if pair.hr.shape[-1] > 32:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(samples, pair)
'''


@pytest.fixture
def spec(draw_image, models, tmp_path):
    """Six images, three models, seven samples of which five are kept, two temperatures."""
    for seed, name in enumerate("abcdef"):
        write_png(tmp_path / "images" / f"{name}.png", draw_image(seed, 32, 32 + 4 * (seed % 2)))
    content = (tmp_path / "images" / "c.png").read_bytes()
    (tmp_path / "images" / "c.png").write_bytes(content[: len(content) // 2])
    return RunSpec(
        models=tuple(f"{models}:{name}" for name in ("Nearest", "Noisy", "Raises")),
        scale=4,
        data=str(tmp_path / "images"),
        metrics=("psnr", "ssim", "sigma"),
        temperature=(0.3, 0.8),
        samples=7,
        out=str(tmp_path / "serial"),
    )


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


@pytest.fixture
def killers(tmp_path):
    """A file of a model and a metric that kill the process they are in."""
    path = tmp_path / "killers.py"
    path.write_text(KILLERS)
    return path


@pytest.fixture
def start():
    """Start a run as a process of its own, with more options."""

    def call(spec, *options):
        words = [sys.executable, "-m", *shlex.split(spec.command()), *options]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    return call


@pytest.fixture
def sampled():
    """Number of lines about samples that a run has written."""

    def call(spec):
        path = Path(spec.out) / "samples.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    return call


@pytest.fixture
def wait_for(sampled):
    """Wait until a run has so many of these lines; says whether it is still at work."""

    def call(process, spec, count):
        while sampled(spec) < count and process.poll() is None:
            time.sleep(0.01)
        return process.poll() is None

    return call
