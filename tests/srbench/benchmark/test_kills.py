"""SIGKILL of real commands at random moments: run and score go on, and leave the folder of undisturbed commands;
measure and verify leave nothing; no worker survives its command."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from builders import drawn
from record_runs import timeless_records, values_that_count

from srbench.benchmark.run import run, score_run
from srbench.images.io import write_png
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

# A command may end before it is killed, and then its report has plots.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_plots")]

KILLS = int(os.environ.get("KILLS", "3"))
"""Number of commands of each kind that are killed; each run goes on with the next engine."""
SEED = int(os.environ.get("KILLS_SEED", "0"))
"""Seed of the moments."""
SLOW = """
import time

from srbench.interfaces import ImageMetric, MetricInfo


class Slow(ImageMetric):
    info = MetricInfo(name="slow", title="slow", direction=1, protocol="mean of all values")

    def __call__(self, images, pair):
        time.sleep(0.05)
        return images.mean(dim=(1, 2, 3))
"""
"""A metric that gives time for a kill."""
ENGINES = (["--workers", "1"], ["--workers", "2"], ["--engine", "dask", "--workers", "2"])


def killed(words, records, more, delay):
    """Start a command and kill it some seconds after it has added lines of records; False if it ended before."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    least = count_lines(records) + more
    end = time.monotonic() + 300
    while count_lines(records) < least and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(delay)
    ended = process.poll() is not None
    process.kill()
    _, err = process.communicate(timeout=60)  # until neither the command nor a worker holds its standard error
    assert not ended or process.returncode == 0, err
    return not ended


def count_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def moments(chance):
    """Lines of records and seconds until a kill: any moment, start and end too, but mostly while a command works."""
    if chance.random() < 0.8:
        return chance.randint(1, 8), 0.2 * chance.random()
    return 0, 4 * chance.random()


def write_images(folder, count):
    for seed in range(count):
        write_png(folder / f"image{seed:02}.png", drawn(seed, 24, 28))
    return str(folder)


def require_equal(folder, whole):
    """Require the records and values of an undisturbed folder, each measured once and proven."""
    assert values_that_count(folder) == values_that_count(whole)
    assert timeless_records(folder) == timeless_records(whole)
    keys = Counter(json.loads(line)["key"] for line in (folder / "rows.jsonl").read_text().splitlines())
    assert set(keys.values()) == {1}, "nothing was measured twice"
    found = verify(folder, resample="all")
    assert found.proven, found.text()


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_killed_commands_leave_what_an_undisturbed_one_leaves(tmp_path, models):
    chance = random.Random(SEED)
    images = 4 * KILLS
    models.write_text(models.read_text().replace("up = F", "time.sleep(0.05)\n        up = F"))
    spec = RunSpec(
        models=(f"{models}:Nearest", f"{models}:Noisy"),
        scale=4,
        data=write_images(tmp_path / "images", images),
        metrics=("psnr", "sigma"),
        temperature=(0.3, 0.8),
        samples=2,
        out=str(tmp_path / "killed"),
    )
    command = [sys.executable, "-m", *shlex.split(spec.command())]
    kills = Counter()
    for number in range(KILLS):
        engine = ENGINES[number % len(ENGINES)]
        kills[" ".join(engine)] += killed(command + engine, tmp_path / "killed" / "samples.jsonl", *moments(chance))
    print(f"seed {SEED}, {images} images, killed: {dict(kills)}")
    assert kills.total(), "every command ended before it was killed"
    assert not run(spec).failures
    whole = run(replace(spec, out=str(tmp_path / "whole"))).folder
    require_equal(Path(spec.out), whole)


def test_killed_scores_leave_what_an_undisturbed_one_leaves(tmp_path, models):
    chance = random.Random(SEED)
    data = write_images(tmp_path / "images", 4 * KILLS)
    spec = RunSpec((f"{models}:Noisy",), 4, data, metrics=("psnr",), samples=2)
    folder, whole = (run(replace(spec, out=str(tmp_path / name))).folder for name in ("killed", "whole"))
    metrics = tmp_path / "metrics.py"
    metrics.write_text(SLOW)
    added = f"ssim,{metrics}:Slow"
    command = [sys.executable, "-m", "srbench", "score", str(folder), "--metrics", added, "--workers", "2"]
    count = sum(killed(command, folder / "rows.jsonl", *moments(chance)) for _ in range(KILLS))
    print(f"seed {SEED}, killed: {count}")
    assert count, "every command ended before it was killed"
    for each in (folder, whole):
        assert not score_run(each, added.split(",")).failures
    require_equal(folder, whole)


def test_killed_measures_and_checks_leave_nothing(tmp_path, models):
    chance = random.Random(SEED)
    data = write_images(tmp_path / "images", 12)
    metrics = tmp_path / "metrics.py"
    metrics.write_text(SLOW)
    names = f"psnr,{metrics}:Slow"
    spec = RunSpec((f"{models}:Noisy",), 4, data, metrics=tuple(names.split(",")), samples=2)
    folder = run(replace(spec, out=str(tmp_path / "run"))).folder
    images = folder / "images"
    outputs = next(path for path in images.iterdir() if path.name.startswith("Noisy"))
    before = contents(tmp_path)
    srbench = [sys.executable, "-m", "srbench"]
    measure = [*srbench, "measure", str(outputs), "--hr", str(images / "hr"), "--metrics", names, "--workers", "2"]
    expected, seconds_of_measure = undisturbed(measure)
    check = [*srbench, "verify", str(folder), "--resample", "all"]
    _, seconds_of_check = undisturbed(check)
    result = folder / "verified.json"
    result.unlink()
    count = Counter()
    for _ in range(KILLS):
        for words, seconds in ((measure, seconds_of_measure), (check, seconds_of_check)):
            count[words[3]] += killed(words, folder / "rows.jsonl", 0, seconds * chance.random())
            if result.exists():
                json.loads(result.read_text())  # it was written whole, at the end
                result.unlink()
            assert contents(tmp_path) == before
    print(f"seed {SEED}, killed: {dict(count)}")
    assert all(count.values()), "every command ended before it was killed"
    assert undisturbed(measure)[0] == expected
    assert verify(folder, resample="all").proven


def undisturbed(words):
    """Return what a command prints as JSON, and how many seconds it takes."""
    start = time.monotonic()
    done = subprocess.run([*words, "--format", "json"], capture_output=True, check=True)
    return json.loads(done.stdout), time.monotonic() - start
