"""A small run: two models on three images."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srbench.benchmark.request import RunSpec
from srbench.benchmark.run import run


@pytest.fixture
def spec(photos, models, tmp_path):
    """Nearest, and Noisy at two temperatures; two samples, kept in tmp_path/run."""
    return RunSpec(
        models=(f"near={models}:Nearest", f"noisy={models}:Noisy"), scale=4, data=str(photos), limit=3,
        metrics=("psnr", "ssim", "sigma"), temperatures=(0.3, 0.8), samples=2, out=str(tmp_path / "run"),
    )  # fmt: skip


@pytest.fixture
def finished(spec):
    """The folder of that run, measured."""
    return run(spec).folder


@pytest.fixture
def changed(spec):
    """The same request with other values: changed(seed=1)."""
    return lambda **values: replace(spec, **values)
