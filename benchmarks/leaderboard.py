"""What a leaderboard costs: python benchmarks/leaderboard.py [--runs N --images N --models N --folder DIR].

Runs of one dataset with models of their own and the eight columns are written without images; their values are random
numbers around a mean of each model. Printed are seconds of ``srbench index``, a whole process each time: with nothing
known of the runs, again, and after one more run. With --folder the runs are kept there, and used if they are there. On
Linux, as the cache is put aside. Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
from pathlib import Path

import numpy as np
from repeats import measure
from report import manifest

from srbench.interfaces import MetricFacts
from srbench.run_folder.folder import RunFolder, score_key
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import (
    AnyRecord,
    EnvironmentRecord,
    ImageDigest,
    PairRecord,
    SampleRecord,
    ScoreRecord,
    append,
)


def write_run(path: Path, number: int, images: int, models: int) -> None:
    """Write the records that ``srbench run`` would leave for models that draw one sample."""
    labels = [f"model-{number}-{k}" for k in range(models)]
    names = [f"image-{k:05}" for k in range(images)]
    path.mkdir(parents=True)
    folder = RunFolder(path, manifest(names, labels, 1))
    folder.extend(folder.manifest)
    settings, metrics = folder.manifest.settings, folder.manifest.metrics
    environment, random = EnvironmentRecord.of({"device": "cpu"}), np.random.default_rng(number)
    lines = [line for name in names for line in _lines(folder, name, settings, metrics, environment.key, random)]
    append(path, [environment, *lines], folder.ends)
    folder.take([environment, *lines])
    folder.finish(folder.manifest)


def _lines(
    folder: RunFolder,
    name: str,
    settings: tuple[Setting, ...],
    metrics: tuple[MetricFacts, ...],
    environment: str,
    random: np.random.Generator,
) -> list[AnyRecord]:
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
            lines.append(
                ScoreRecord(score_key(sample, metric), name, 0, 1, "", *what, *named, values, key, 0.01, environment)
            )
    return lines


def _hash(*facts: str) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("runs", 100), ("images", 5000), ("models", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, cache = (given.folder or Path(name) / "runs").absolute(), Path(name) / "cache"
        cache.mkdir()
        for number in range(given.runs):
            if not (run := folder / f"run-{number:04}").exists():
                write_run(run, number, given.images, given.models)
        added = folder / f"run-{given.runs:04}"
        shutil.rmtree(added, ignore_errors=True)
        index = ("index", str(folder), "--out", "index")
        print(f"{given.runs} runs of {given.images} images, {given.models} models")
        measure(cache, "nothing known", *index)
        measure(cache, "again", *index)
        write_run(added, given.runs, given.images, given.models)
        measure(cache, "one more run", *index)


if __name__ == "__main__":
    main()
