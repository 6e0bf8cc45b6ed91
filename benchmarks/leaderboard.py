"""What a leaderboard costs: python benchmarks/leaderboard.py [--runs N --images N --models N --folder DIR].

Runs of one dataset with models of their own and the eight columns are written without images; their values are random
numbers around a mean of each model. Printed are seconds of ``srbench index``, a whole process each time: with nothing
known of the runs, again, and after one more run. With --folder the runs are kept there, and used if they are there. On
Linux, as the cache is put aside. Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from srbench.interfaces import MetricFacts, ModelFacts
from srbench.metrics.suite import open_metrics
from srbench.run_folder.folder import RunFolder, score_key
from srbench.run_folder.manifest import now
from srbench.run_folder.protocol import FORMAT, Invocation, Manifest, Protocol, Setting
from srbench.run_folder.records import (
    AnyRecord,
    EnvironmentRecord,
    ImageDigest,
    PairRecord,
    SampleRecord,
    ScoreRecord,
    append,
)
from srbench.system.machine import hardware, software

TEMPERATURE = 0.8
SCALE = 8


def write_run(path: Path, number: int, images: int, models: int) -> None:
    """Write the records that ``srbench run`` would leave for models that draw one sample."""
    protocol = Protocol(
        "srflow@1", "photos", "made from HR", scale=SCALE, crop=None, samples=1, seed=0, tile=None
    )  # fmt: skip
    metrics = tuple(metric.facts for metric in open_metrics(None, protocol.columns, "floor"))
    labels = [f"model-{number}-{k}" for k in range(models)]
    facts = tuple(ModelFacts(one, one, _hash(one), projected=False, weights=None) for one in labels)
    settings = tuple(Setting(label, TEMPERATURE) for label in labels)
    names, measured = tuple(f"image-{k:05}" for k in range(images)), tuple(one.name for one in metrics)
    machine = ("cpu", software(), hardware("cpu"))
    invocation = Invocation("python benchmarks/leaderboard.py", settings, names, measured, now(), now(), *machine)
    path.mkdir(parents=True)
    folder = RunFolder(path, Manifest(FORMAT, protocol, names, metrics, facts, settings, (invocation,)))
    folder.extend(folder.manifest)
    environment, random = EnvironmentRecord.of({"device": "cpu"}), np.random.default_rng(number)
    lines = [line for name in names for line in _lines(folder, name, settings, metrics, environment.key, random)]
    append(path, [environment, *lines], folder.ends)
    folder.take([environment, *lines])
    folder.finish(folder.manifest)


def _lines(
    folder: RunFolder, name: str, settings: tuple[Setting, ...], metrics: tuple[MetricFacts, ...], environment: str,
    random: np.random.Generator,
) -> list[AnyRecord]:  # fmt: skip
    lines: list[AnyRecord] = []
    pair, digests = _hash("pair", name), (ImageDigest(_hash("lr", name), None), ImageDigest(_hash("hr", name), None))
    lines.append(PairRecord(pair, name, 0, 1, "", *digests, environment))
    for setting in settings:
        output = ImageDigest(_hash(setting.model, name), None)
        key = folder.sample_key(setting, pair, "")
        what = (setting.model, setting.temperature)
        sample = SampleRecord(key, name, 0, 1, "", *what, "", (output,), 0.1, None, environment, 0)
        lines.append(sample)
        means = 20 + 0.5 * np.random.default_rng(int(_hash(setting.model)[:8], 16)).normal(size=len(metrics))
        for metric, value in zip(metrics, random.normal(means, 1).tolist(), strict=True):
            values = value if metric.per == "image" else [value]
            named = (metric.name, metric.signature)
            lines.append(ScoreRecord(score_key(sample, metric), name, 0, 1, "", *what, *named, values, key, 0.01,
                                     environment))  # fmt: skip
    return lines


def _hash(*facts: str) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def measure(folder: Path, cache: Path, title: str) -> None:
    """Time ``srbench index``, and the processor time of its processes."""
    command = [sys.executable, "-m", "srbench", "index", str(folder), "--out", str(cache / "index")]
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "XDG_CACHE_HOME": str(cache)})
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{title}: {time.perf_counter() - start:.1f} s, {processor:.1f} s of the processor")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("runs", 100), ("images", 5000), ("models", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, cache = given.folder or Path(name) / "runs", Path(name) / "cache"
        for number in range(given.runs):
            if not (run := folder / f"run-{number:04}").exists():
                write_run(run, number, given.images, given.models)
        added = folder / f"run-{given.runs:04}"
        shutil.rmtree(added, ignore_errors=True)
        print(f"{given.runs} runs of {given.images} images, {given.models} models")
        measure(folder, cache, "nothing known")
        measure(folder, cache, "again")
        write_run(added, given.runs, given.images, given.models)
        measure(folder, cache, "one more run")


if __name__ == "__main__":
    main()
