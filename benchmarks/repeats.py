"""What commands cost that have nothing to do: python benchmarks/repeats.py [--images N --models N --folder DIR].

A finished run is written: linked crops of the packaged photographs, 64x64, bicubic under several labels, the eight
columns with random values. Prints wall-clock and processor seconds of whole processes: ``srbench run``, ``srbench
report``, and the report after one value has changed. With --folder the run is kept there, and used if it is there.
Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from srbench.benchmark.request import Bench, RunSpec, open_bench

from srbench.benchmark import sampling
from srbench.benchmark.run import extended
from srbench.data.datasets import packaged_photos
from srbench.images.io import crop_centre, quantize_round, write_png
from srbench.machine.facts import hardware, software
from srbench.run_folder.folder import RunFolder, score_key
from srbench.run_folder.manifest import now
from srbench.run_folder.protocol import Invocation
from srbench.run_folder.records import AnyRecord, SampleRecord, ScoreRecord, append

SCALE, SIDE, PHOTOS = 4, 64, 4


def write_run(root: Path, images: int, models: int) -> None:
    """Write the dataset and what ``srbench run`` would leave."""
    photos, data = packaged_photos(SCALE), root / "data"
    names = [f"image-{k:05}" for k in range(images)]
    for name, photo in zip(names[:PHOTOS], photos, strict=False):
        write_png(data / f"{name}.png", quantize_round(crop_centre(photos.read(photo).hr, SIDE)))
    for k, name in enumerate(names[PHOTOS:]):
        os.link(data / f"{names[k % PHOTOS]}.png", data / f"{name}.png")
    spec = RunSpec(_models(models), SCALE, "data", out="run")
    bench, folder, _ = extended(open_bench(spec), root / "run")
    machine = ("cpu", software(), hardware("cpu"))
    measured = tuple(metric.facts.name for metric in bench.metrics)
    invocation = Invocation(spec.command(), bench.settings, bench.images, measured, now(), now(), *machine)
    folder.path.mkdir()
    folder.extend(dataclasses.replace(folder.manifest, invocations=(invocation,)))
    for name in names[:PHOTOS]:
        _sample(folder, bench, name)
    lines = [line for k, name in enumerate(names[PHOTOS:]) for line in _link(folder, names[k % PHOTOS], name)]
    folder.take(lines)
    random = np.random.default_rng(0)
    samples = [sample for name in names for sample in folder.of(name).samples.values()]
    lines += [line for sample in samples for line in _scores(folder, sample, random)]
    append(folder.path, lines, folder.ends)
    folder.finish(folder.manifest)


def _models(count: int) -> tuple[str, ...]:
    return tuple(f"bicubic-{k + 1}=bicubic" for k in range(count))


def _sample(folder: RunFolder, bench: Bench, name: str) -> None:
    """Keep a pair and the outputs of all models."""
    pair, key = bench.dataset.read(name), bench.pair_key(name)
    sampling.keep_pair(folder, pair, key, 0, 1)
    for setting in bench.settings:
        output = sampling.sample(folder, bench.models[setting.model].model, pair, setting.temperature, "cpu")
        sampling.keep_sample(folder, sampling.Item(setting, folder.sample_key(setting, key, "")), name, output, 0, 1)


def _link(folder: RunFolder, before: str, name: str) -> list[AnyRecord]:
    """All that is kept of an image, under another name; the keys are those of equal files."""
    known = folder.of(before)
    assert known.pair is not None
    files = list(zip(folder.pair_files(before), folder.pair_files(name), strict=True))
    lines: list[AnyRecord] = [msgspec.structs.replace(known.pair, image=name)]
    for record in known.samples.values():
        made = msgspec.structs.replace(record, image=name)
        files += zip(folder.output_files(record), folder.output_files(made), strict=True)
        lines.append(made)
    for there, here in files:
        os.link(there, here)
    return lines


def _scores(folder: RunFolder, record: SampleRecord, random: np.random.Generator) -> list[ScoreRecord]:
    what = (record.image, 0, 1, "", record.model, record.temperature)
    return [
        ScoreRecord(
            score_key(record, metric),
            *what,
            metric.name,
            metric.signature,
            value if metric.per == "image" else [value],
            record.key,
            0.01,
        )
        for metric, value in zip(folder.manifest.metrics, random.normal(20, 1, 8).tolist(), strict=True)
    ]


def change_value(run: Path) -> None:
    """Append the first value again with another number."""
    with (run / ScoreRecord.FILE).open("r+", encoding="utf-8") as file:
        line = file.readline()
        record = msgspec.json.decode(line, type=ScoreRecord)
        file.seek(0, os.SEEK_END)
        value = [25.0] if isinstance(record.value, list) else 25.0
        file.write(msgspec.json.encode(msgspec.structs.replace(record, value=value)).decode() + "\n")


def measure(root: Path, title: str, *command: str) -> None:
    """Time a command, and its processor time."""
    start, before = time.perf_counter(), os.times()
    words = [sys.executable, "-m", "srbench", *command]
    subprocess.run(words, cwd=root, check=True, capture_output=True, env={**os.environ, "XDG_CACHE_HOME": str(root)})
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{title}: {time.perf_counter() - start:.2f} s, {processor:.2f} s of the processor", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("images", 5000), ("models", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = (given.folder or Path(name)).absolute()
        root.mkdir(parents=True, exist_ok=True)
        os.chdir(root)
        if not (root / "run").exists():
            write_run(root, given.images, given.models)
            measure(root, "report, the first one", "report", "run")
        run = ("run", "--models", ",".join(_models(given.models)), "--scale", str(SCALE), "--data", "data")
        print(f"{given.images} images, {given.models} models")
        measure(root, "run, nothing to do", *run, "--out", "run")
        measure(root, "report, nothing to do", "report", "run")
        change_value(root / "run")
        measure(root, "report, one value changed", "report", "run")


if __name__ == "__main__":
    main()
