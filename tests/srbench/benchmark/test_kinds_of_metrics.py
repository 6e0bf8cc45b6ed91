"""A metric of each kind, added by a file alone: in a run, by score, in measure, by verify, compare and in reports.

What each computes is simple enough to be computed again here, by numpy, from the saved images.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from builders import drawn
from record_runs import timeless_records

from srbench.images.io import read_uint8, write_png
from srbench.run_folder.folder import RunFolder
from srbench.verification.verify import verify

PLUGINS = """
import os
from pathlib import Path

from srbench.interfaces import ImageMetric, MetricInfo, ModelMetric, ModelPairMetric, SetMetric


def info(name, per, **more):
    return MetricInfo(name=name, title=name, direction=-1, digits=4, per=per, protocol=name, signature="v1", **more)


def log(what):
    with open("log.txt", "a") as file:
        file.write(f"{what} {os.getpid()}\\n")


class Level(ImageMetric):
    info = info("level", "sample")

    def __call__(self, samples, pair):
        return samples.mean(dim=(1, 2, 3)) - pair.hr.mean()


class Jump(SetMetric):
    info = info("jump", "group", any_samples=True)

    def __call__(self, outputs):
        if len(outputs) == 1:
            return None
        return float(outputs[-1].first.mean() - outputs[0].first.mean() + outputs[0].pair.hr.mean())


class Range(SetMetric):
    sees = "uint8"
    needs = ("HR", "samples")
    info = info("range", "set")

    def __call__(self, outputs):
        log("range")
        return float(max(image.samples.double().mean() for image in outputs) - outputs[0].pair.hr.mean())


class Size(ModelMetric):
    info = info("size", "set")

    def measure(self, call):
        log("size")
        return None if hasattr(call.model, "sample") else 3.5


class Fit(ModelPairMetric):
    info = info("fit", "image")

    def measure(self, call, pair):
        if hasattr(call.model, "sample"):
            return None
        return float((call.model(pair.lr[None])[0] - pair.hr).abs().mean())
"""
KINDS = {"Level": "level", "Jump": "jump", "Range": "range", "Size": "size", "Fit": "fit"}
ALL = ",".join(f"metrics.py:{name}" for name in KINDS)
CLIPS = {"x": ("00", "01", "10", "9"), "y": ("0",)}
"""Frames by clip; 9 comes before 10."""
SAMPLES = 7
"""More than a run saves, unless a metric needs all."""


@pytest.fixture
def bench(tmp_path, monkeypatch, models):
    """The current folder: metrics.py, models.py and the clips hr."""
    monkeypatch.chdir(tmp_path)
    Path("metrics.py").write_text(PLUGINS)
    for seed, (clip, frame) in enumerate((clip, frame) for clip, frames in CLIPS.items() for frame in frames):
        write_png(Path("hr") / clip / f"{frame}.png", drawn(seed))
    return tmp_path


def test_values_that_are_no_number(bench, models, command):
    text = PLUGINS.replace("return float(max(", "return [0.5] or float(max(")
    Path("metrics.py").write_text(text.replace("else 3.5", "else __import__('torch').ones(3)"))
    done = command(*words(models, "run", metrics="metrics.py:Level,metrics.py:Range,metrics.py:Size"))
    assert done.code == 1
    for metric, kind in (("range", "list"), ("size", "Tensor")):
        fault = (
            f"failed: Nearest: {metric}: {metric} returned {kind}; return a number, or None where it does not apply\n"
        )
        assert fault in done.err


def words(models, out, *more, metrics=ALL):
    options = ("--models", f"{models}:Nearest,{models}:Noisy", "--data", "hr", "--scale", 4, "--samples", SAMPLES)
    return ("run", *options, "--metrics", metrics, "--out", out, *more)


def level(folder, image):
    return read_uint8(Path("run/images", folder, f"{image}.png")).numpy().mean()


def expected():
    """Values of the two models by metric and subject; "" is all images, or the model."""
    images = [f"{clip}-{frame}" for clip, frames in CLIPS.items() for frame in frames]
    first, last = "x-00", "x-10"
    values = {}
    for model, endings in {"Nearest": [""], "Noisy": [f"_sample{number}" for number in range(SAMPLES)]}.items():
        folder = {"Noisy": "Noisy-t0.8"}.get(model, model)
        levels = {image: [level(folder, f"{image}{ending}") for ending in endings] for image in images}
        hr = {image: level("hr", image) for image in images}
        values[model, "level"] = {image: [(each - hr[image]) / 255 for each in levels[image]] for image in images}
        jump = (levels[last][0] - levels[first][0] + hr[first]) / 255
        values[model, "jump"] = {"x": jump, "y": None}
        values[model, "range"] = {"": max(map(np.mean, levels.values())) - hr[first] / 255}
        values[model, "size"] = {"": 3.5 if model == "Nearest" else None}
        values[model, "fit"] = {image: None for image in images}
    for image in images:
        lr, hr = (read_uint8(Path(f"run/images/{kind}/{image}.png")).numpy() / 255 for kind in ("lr", "hr"))
        values["Nearest", "fit"][image] = np.abs(lr.repeat(4, 1).repeat(4, 2) - hr).mean()
    return values


def recorded(out="run"):
    values = {}
    for line in map(json.loads, Path(out, "rows.jsonl").read_text().splitlines()):
        assert line["error"] == ""
        values.setdefault((line["model"], line["metric"]), {})[line["subject"]] = line["value"]
    return values


def test_in_a_run(bench, command, models):
    found = command(*words(models, "run"))
    assert found.code == 0, found.err
    values = recorded()
    wanted = expected()
    assert values.keys() == wanted.keys()
    for key, by_subject in wanted.items():
        assert values[key].keys() == by_subject.keys(), key
        for subject, value in by_subject.items():
            assert values[key][subject] == (None if value is None else pytest.approx(value, abs=1e-6)), (key, subject)
    assert Path("log.txt").read_text().split()[::2] == ["range", "size"] * 2, "once a model, after all images"
    rows = {row["model"]: row for row in csv.DictReader(Path("run/report/table.csv").read_text().splitlines())}
    assert float(rows["Nearest"]["jump"]) == pytest.approx(wanted["Nearest", "jump"]["x"], abs=1e-6)
    assert rows["Noisy"]["size"] == ""
    assert "range_low" not in rows["Noisy"]
    report = Path("run/report/report.md").read_text()
    assert "A single value, without interval and test: range of all images together, size of the model." in report
    assert "jump are over groups of images" in report
    assert "not measured" not in report, "what does not apply is not missing"
    before = timeless_records("run")
    again = command(*words(models, "run"))
    assert (again.code, timeless_records("run")) == (0, before)
    assert Path("log.txt").read_text().count("range") == 2, "nothing is measured twice"


def test_every_way_to_the_same_values(bench, command, models):
    """Two workers, score, a command that was killed before its last metrics, and merged shards that score completes."""
    assert command(*words(models, "run")).code == 0
    whole = timeless_records("run")
    Path("log.txt").unlink()
    assert command(*words(models, "two", "--workers", 2)).code == 0
    assert timeless_records("two") == whole
    lines = [line.split() for line in Path("log.txt").read_text().splitlines()]
    assert [name for name, _ in lines] == ["range", "size"] * 2
    assert len({process for _, process in lines}) == 1, "one process, alone"
    assert int(lines[0][1]) != os.getpid(), "and not that of the command"
    first = "metrics.py:Level,metrics.py:Range"
    assert command(*words(models, "scored", metrics=first)).code == 0
    rest = ",".join(f"metrics.py:{name}" for name in ("Jump", "Size", "Fit"))
    assert command("score", "scored", "--metrics", rest).code == 0
    assert timeless_records("scored") == whole
    assert command(*words(models, "killed")).code == 0
    rows = Path("killed/rows.jsonl").read_text().splitlines(keepends=True)
    Path("killed/rows.jsonl").write_text("".join(rows[:-3]) + rows[-3][:40])
    assert command(*words(models, "killed")).code == 0
    assert timeless_records("killed") == whole
    for part in (1, 2):
        assert command(*words(models, f"part{part}", "--shard", f"{part}/2")).code == 0
        of_many = {"jump", "range", "size"}
        assert not of_many & {metric for _, metric in recorded(f"part{part}")}
    assert command("merge", "part1", "part2", "--out", "merged").code == 0
    assert command("score", "merged", "--metrics", ALL).code == 0
    assert timeless_records("merged") == whole


def test_verify_compare_and_reports_of_many_runs(bench, command, models):
    assert command(*words(models, "runs/one")).code == 0
    assert command(*words(models, "runs/two", "--workers", 2)).code == 0
    findings = verify(Path("runs/one"), resample="all")
    assert findings.verdict == "proven", findings.findings
    assert findings.verified == sum(len(values) for values in recorded("runs/one").values())
    found = command("compare", "Nearest", "Noisy", "--run", "runs/one")
    lines = {line.split()[0]: line.split() for line in found.out.splitlines() if line.split()[:1]}
    assert {"level", "jump", "range"} <= lines.keys()
    assert command("report", "runs").code == 0
    table = list(csv.DictReader(Path("runs/report/table.csv").read_text().splitlines()))
    joined = {(row["model"], row["metric"]): row for row in table}
    for model in ("Nearest", "Noisy"):
        for metric in ("level", "jump", "range"):
            value = float(joined[model, metric]["mean"])
            flat = [np.mean(each) for each in recorded("runs/one")[model, metric].values() if each is not None]
            assert value == pytest.approx(np.mean(flat), abs=1e-6)
    assert command("report", "runs/one", "runs/two", "--out", "both").code == 0
    both = list(csv.DictReader(Path("both/table.csv").read_text().splitlines()))
    assert [row["model"] for row in both] == ["Nearest", "Noisy"]
    rows = Path("runs/one/rows.jsonl")
    changed = [json.loads(line) for line in rows.read_text().splitlines()]
    for line in changed:
        if line["metric"] == "jump" and line["subject"] == "x":
            line["value"] *= 1.5
    rows.write_text("".join(f"{json.dumps(line)}\n" for line in changed))
    texts = [one.text for one in verify(Path("runs/one")).findings if one.rule == "value-differs"]
    assert len(texts) == 2
    assert all(text.startswith("jump is ") for text in texts)


@pytest.mark.parametrize("workers", [1, 2])
def test_in_measure(bench, command, models, workers):
    assert command(*words(models, "run")).code == 0
    outputs = Path("outputs")
    for file in Path("run/images/Nearest").iterdir():
        clip, _, frame = file.name.partition("-")
        write_png(outputs / clip / frame, read_uint8(file))
    named = ",".join(f"metrics.py:{name}" for name in ("Level", "Jump"))
    found = command("measure", "outputs", "--hr", "hr", "--metrics", named, "--format", "json", "--workers", workers)
    assert found.code == 0, found.err
    facts, wanted = json.loads(found.out), expected()
    assert facts["groups"]["x"]["jump"] == pytest.approx(wanted["Nearest", "jump"]["x"], abs=1e-6)
    assert facts["mean"]["jump"] == pytest.approx(wanted["Nearest", "jump"]["x"], abs=1e-6)
    table = command("measure", "outputs", "--hr", "hr", "--metrics", named, "--workers", workers).out
    assert "jump" in table
    found = command("measure", "outputs", "--hr", "hr", "--metrics", "metrics.py:Fit", "--workers", workers)
    assert (found.code, "fit needs a model; use srbench run" in found.err) == (1, True)


def test_what_is_missing_is_one_line(bench, command, models):
    for path in list(Path("hr/x").iterdir()):
        write_png(Path("flat") / path.name, read_uint8(path))
    options = ("--models", f"{models}:Nearest", "--data", "flat", "--scale", 4, "--out", "flat-run")
    found = command("run", *options, "--metrics", "metrics.py:Jump")
    assert found.code == 1
    assert "jump needs groups of images, such as clips, and flat has images in no group; put the images of" in found.err
    assert command("run", *options, "--metrics", "metrics.py:Level").code == 0
    found = command("score", "flat-run", "--metrics", "metrics.py:Jump")
    assert found.code == 1
    assert "jump needs groups of images, such as clips, and flat-run has images in no group; put the" in found.err
    assert [metric.name for metric in RunFolder.read(Path("flat-run")).manifest.metrics] == ["level"]
    assert command(*words(models, "few", metrics="metrics.py:Level")).code == 0
    found = command("score", "few", "--metrics", "metrics.py:Range")
    assert found.code == 1
    assert f"range: needs all samples, and few keeps 5 of {SAMPLES}" in found.err
    assert RunFolder.read(Path("few")).manifest.protocol.kept == 5
