"""SIGKILL of real commands at random moments: the folder of the last one is that of a run that nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from builders import drawn
from record_runs import timeless_records, values_that_count

from srbench.benchmark.run import run
from srbench.images.io import write_png
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

# A command may end before it is killed, and then its report has plots.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_plots")]

KILLS = int(os.environ.get("KILLS", "3"))
"""Number of commands that are killed; each goes on with the next engine."""
SEED = int(os.environ.get("KILLS_SEED", "0"))
"""Seed of the moments."""
ENGINES = (["--workers", "1"], ["--workers", "2"], ["--engine", "dask", "--workers", "2"])


def killed(words, samples, more, delay):
    """Start a command and kill it some seconds after it has added lines of samples; False if it ended before."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    least = count_lines(samples) + more
    end = time.monotonic() + 300
    while count_lines(samples) < least and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(delay)
    ended = process.poll() is not None
    process.kill()
    _, err = process.communicate(timeout=300)
    assert not ended or process.returncode == 0, err
    return not ended


def count_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_commands_leave_what_an_undisturbed_one_leaves(tmp_path, models):
    chance = random.Random(SEED)
    images = 4 * KILLS
    for seed in range(images):
        write_png(tmp_path / "images" / f"image{seed:02}.png", drawn(seed, 24, 28))
    models.write_text(models.read_text().replace("up = F", "time.sleep(0.05)\n        up = F"))
    spec = RunSpec(
        models=(f"{models}:Nearest", f"{models}:Noisy"),
        scale=4,
        data=str(tmp_path / "images"),
        metrics=("psnr", "sigma"),
        temperature=(0.3, 0.8),
        samples=2,
        out=str(tmp_path / "killed"),
    )
    command = [sys.executable, "-m", *shlex.split(spec.command())]
    kills = Counter()
    for number in range(KILLS):
        engine = ENGINES[number % len(ENGINES)]
        # at any moment, the start and the end too, but mostly while it is at work
        more, delay = (
            (chance.randint(1, 8), 0.2 * chance.random()) if chance.random() < 0.8 else (0, 4 * chance.random())
        )
        kills[" ".join(engine)] += killed(command + engine, tmp_path / "killed" / "samples.jsonl", more, delay)
    print(f"seed {SEED}, {images} images, killed: {dict(kills)}")
    assert kills.total(), "every command ended before it was killed"
    assert not run(spec).failures
    whole = run(RunSpec(**vars(spec) | {"out": str(tmp_path / "whole")})).folder
    folder = Path(spec.out)
    assert values_that_count(folder) == values_that_count(whole)
    assert timeless_records(folder) == timeless_records(whole)
    keys = Counter(json.loads(line)["key"] for line in (folder / "rows.jsonl").read_text().splitlines())
    assert set(keys.values()) == {1}, "nothing was measured twice"
    found = verify(folder, resample="all")
    assert found.proven, found.text()
