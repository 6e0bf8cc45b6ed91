"""``srbench list runs`` and ``srbench show``: facts for a reader, damage named, no torch for runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from builders import PACKAGED

from srbench.cli.catalogue import CATALOGUE
from srbench.data.degradations.read import degradation_names
from srbench.metrics.suite import suite_names
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.overview import overview


def cells(line: str) -> list[str]:
    return re.split(" {2,}", line)


def test_runs_are_listed_one_a_line(command, make_run):
    values = {("m", None): {"a": (20.0, 0.1), "b": (21.0, 0.2)}, ("n", 0.8): {"a": (22.0, 0.3), "b": "out of memory"}}
    run = make_run("runs/one", values, images=["a", "b", "c"], limit=2)
    Path("runs/no-run").mkdir()
    found = command("list", "runs")
    assert (found.code, found.err) == (0, "")
    assert cells(found.out.rstrip()) == ["runs/one", "m,n", "d", "x4", "1/2 images", "2 samples", "then"]
    assert command("list", "runs", run).out.startswith(f"{run} ")


def test_values_of_other_outputs_do_not_count(finished):
    assert (overview(finished).done, overview(finished).requested) == (3, 3)
    rows = (finished / "rows.jsonl").read_text()
    (finished / "rows.jsonl").write_text(rows.replace('"subject": "b"', '"subject": "x"', 1))
    assert overview(finished).done == 2
    (finished / "rows.jsonl").write_text(rows)
    samples = (finished / "samples.jsonl").read_text().splitlines(keepends=True)
    last = next(line for line in samples if '"image": "a"' in line)
    with (finished / "samples.jsonl").open("a") as file:
        file.write(re.sub('"key": "[^"]*"', '"key": "of another model"', last))
    assert overview(finished).done == 2


def test_damaged_runs_are_named_and_the_others_listed(command, make_run):
    make_run("runs/good", {("m", None): {"a": (20.0, 0.1)}})
    for name in ("line", "manifest"):
        make_run(f"runs/{name}", {("m", None): {"a": (20.0, 0.1)}})
    Path("runs/line/rows.jsonl").write_text("{\n")
    for file in Path("runs/manifest").glob("*manifest.json"):
        file.write_text("{")
    found = command("list", "runs")
    assert found.code == 0
    assert [cells(line)[0] for line in found.out.splitlines()] == ["runs/good"]
    faults = [line.partition(":")[0] for line in found.err.splitlines()]
    assert faults == ["runs/line/rows.jsonl", "runs/manifest/manifest.json"]


def test_a_folder_that_cannot_be_entered_is_named_and_the_others_listed(command, make_run, monkeypatch):
    make_run("runs/good", {("m", None): {"a": (20.0, 0.1)}})
    make_run("runs/private", {("m", None): {"a": (20.0, 0.1)}})

    def refuse(function):
        def call(path, *more):
            if Path(path).name == "private":
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *more)

        return call

    monkeypatch.setattr(os, "scandir", refuse(os.scandir))
    monkeypatch.setattr("srbench.run_folder.folder.read_manifest", refuse(read_manifest))
    found = command("list", "runs")
    assert [cells(line)[0] for line in found.out.splitlines()] == ["runs/good"]
    assert "runs/private" in found.err


def test_a_folder_of_runs_is_a_line_per_run_that_has_begun(command, photos):
    words = ["--models", "bicubic", "--data", photos, "--metrics", "psnr", "--limit", 1, "--out", "runs/grid"]
    assert command("run", *words, "--scale", "2,4").code == 0
    assert len(command("list", "runs").out.splitlines()) == 2
    assert {cells(line)[3] for line in command("list", "runs", "runs/grid").out.splitlines()} == {"x2", "x4"}


def test_only_models_that_sample_have_a_number_of_samples(command, make_run):
    make_run("runs/net", {("m", None): {"a": (20.0, 0.1)}})
    make_run("runs/flow", {("flow", 0.8): {"a": ([20.0, 21.0], [0.1, 0.2])}})
    make_run("runs/made", {("folder", None): {"a": ([20.0, 21.0], [0.1, 0.2])}})
    assert [("2 samples" in line, "samples" in line) for line in command("list", "runs").out.splitlines()] == [
        (True, True),
        (True, True),
        (False, False),
    ]


def test_nothing_to_list(command, photos):
    assert "no such folder; name the folder of your runs" in command("list", "runs").err
    assert "no run in it; name a folder that srbench run made" in command("list", "runs", photos).err
    assert "DIR goes with srbench list runs" in command("list", "models", photos).err


SHOWN = {
    "model bicubic": ["scales      2x, 3x, 4x, 8x", "outputs     one", "edits       no"],
    "model srflow": ["outputs     samples, at a temperature", "8x          5,396,192 parameters, licence Apache-2.0"],
    "metric psnr": ["direction   higher is better", "unit        dB", "signature   PSNR|RGB|floor|crop0|v1"],
    "metric lpips": ["direction   lower is better", "looks at    8-bit outputs, HR"],
    "metric fid": [
        "values      one of all images",
        "fetch       srbench weights fetch --metrics fid",
        "inception-2015",
    ],
    "dataset photos": ["images      22"],
    "benchmark set set5": ["contents    5 HR images", "downloaded  no; srbench data fetch set5"],
    "suite classic-y": [
        "PSNR (Y)    higher is better, in dB; PSNR|Y|round|unrounded|crop(scale)|v1",
        "outputs     8 bits, by r",
    ],
    "suite blind": ["pyiqa:musiq pretrained=koniq10k", "fetch       srbench weights fetch --suite blind"],
    "degradation bicubic-opencv": ["steps"],
    "preset mini-x8": ["training    3,200 steps of 16 patches of 128 HR pixels", "model       srflow"],
    "weights esrgan-x4": ["file        RRDB_ESRGAN_x4.pth", "downloaded  no; srbench weights fetch esrgan-x4"],
}


def test_everything_that_is_listed_can_be_shown(command, monkeypatch):
    for title, facts in SHOWN.items():
        monkeypatch.setenv("COLUMNS", "80")
        name = title.split()[-1]
        found = command("show", name)
        assert (found.code, found.err) == (0, ""), name
        first, *lines = found.out.splitlines()
        assert first == title
        assert [line for line in lines if line.startswith("  use ")], name
        assert all(len(line) <= 80 or len(line.split()) <= 2 for line in lines), name
        monkeypatch.setenv("COLUMNS", "160")
        shown = command("show", name).out
        assert all(fact in shown for fact in facts), shown


def test_a_plugin_is_shown(command, models, monkeypatch):
    """A model or metric in a file or package, and a registered model with other weights."""
    monkeypatch.setenv("COLUMNS", "200")
    examples = Path(__file__).parents[3] / "examples"
    shown = {
        f"{models}:Noisy": [
            "model",
            "scales      2x, 3x, 4x, 8x",
            "outputs     samples",
            f"use         srbench run --models {models}",
        ],
        f"{examples}/my_model.py:MyModel": ["model", "about       Put your network here", "needs weights"],
        f"{examples}/my_metric.py:MyMetric": ["metric", "about       Mean absolute error", "title       MAE"],
        "srbench.metrics.pixel:PSNR": ["metric", "signature   PSNR|RGB|floor|crop0|v1"],
        f"rrdb:{PACKAGED['rrdb']}": ["model", "scales      8x", "outputs     one"],
    }
    for name, facts in shown.items():
        found = command("show", name)
        assert (found.code, found.err) == (0, ""), found.err
        assert found.out.startswith(f"{facts[0]} {name}\n")
        assert all(fact in found.out for fact in facts), found.out
    assert "no such file" in command("show", "absent.py:Net").err


def test_names_are_those_that_are_listed():
    for kind in CATALOGUE:
        cell = 1 if kind.title == "preset" else 0
        listed = {row[cell].partition("@")[0] for row in kind.rows()} - {"pyiqa:NAME"}
        assert listed == set(kind.names()), kind.title


def test_the_use_of_a_metric_is_what_it_needs(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    uses = {
        "psnr": "srbench measure DIR --hr DIR --metrics psnr; ",
        "lr_psnr": "srbench measure DIR --lr DIR --metrics lr_psnr; ",
        "niqe": "srbench measure DIR --metrics niqe; ",
        "multiply_adds": "",
    }
    for name, measure in uses.items():
        use = f"  use         srbench run --metrics {name}; {measure}srbench score RUN --metrics {name}"
        assert use in command("show", name).out.splitlines(), name


def test_a_name_of_nothing(command):
    found = command("show", "bicubik")
    assert (found.code, "did you mean bicubic?" in found.err) == (1, True)
    assert command("show", suite_names()[0]).code == command("show", degradation_names()[0]).code == 0


def test_runs_that_cannot_be_shown_are_named_and_the_others_shown(command, make_run):
    make_run("runs/good", {("m", None): {"a": (20.0, 0.1)}})
    make_run("runs/torn", {("m", None): {"a": (20.0, 0.1)}})
    Path("runs/torn/rows.jsonl").write_text("{\n")
    make_run("runs/begun", {("m", None): {}}, images=["a"])
    found = command("show", "runs")
    assert found.code == 0
    assert "| m" in found.out
    assert [line.partition(":")[0] for line in found.err.splitlines()] == ["runs/begun", "runs/torn/rows.jsonl"]
    found = command("show", "runs/begun")
    assert (found.code, found.out) == (1, "")
    assert "nothing is measured yet" in found.err
