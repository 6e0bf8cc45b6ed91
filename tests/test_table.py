"""The product end to end: the packaged models on packaged photographs, through the command line, to the table."""

from __future__ import annotations

import csv
import math
import re
import shlex
import shutil
from statistics import fmean

import pytest
import torch
from builders import PACKAGED
from record_runs import by_image, timeless_records
from safetensors.torch import load_file

from srbench.files.hashes import sha256_file
from srbench.metrics.loading import open_metric
from srbench.pages.markdown import escape
from srbench.weights.files import load_weights

METRICS = ["psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique", "sigma"]
OPTIONS = {"models": "bicubic,rrdb,esrgan,srflow", "scale": 8, "limit": 2, "crop": 96, "samples": 3, "workers": 1}
CHEAP = "psnr,lr_psnr,sigma"


def arguments(options):
    return ["run", *(str(word) for name, value in options.items() for word in (f"--{name}", value))]


@pytest.fixture(scope="module")
def measured(srbench, tmp_path_factory):
    """A run with some options changed -> its folder. What is asked for twice is run once."""
    base = tmp_path_factory.mktemp("table")
    done = {}

    def call(folder="", **changes):
        options = OPTIONS | changes
        key = folder, *options.items()
        if key not in done:
            out = base / (folder or f"run{len(done)}")
            found = srbench(*arguments(options | {"out": out}))
            assert found.exit_code == 0, found.output
            done[key] = out
        return done[key]

    return call


@pytest.fixture(scope="module")
def whole(measured):
    """The run that most tests look at: four models, two photographs, eight metrics."""
    return measured()


def lines(run):
    """table.csv as it is: one dictionary of text a line."""
    with (run / "report" / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def markdown_cells(report):
    """The cells of the first table of report.md, without the marks."""
    block = next(block for block in report.split("\n\n") if block.startswith("| model"))
    table = [line for line in block.splitlines() if re.match(r"\| \S", line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [[cell.replace("**", "") for cell in line] for line in (cells[0], *cells[2:])]


def test_four_models_eight_numbers(whole):
    header = (whole / "report" / "table.csv").read_text().splitlines()[0]
    assert header.startswith(
        "model,temperature,family,competes,psnr,ssim,lpips,lr_psnr,niqe,brisque,pique,sigma,n,psnr_low,psnr_high,"
    )
    table = lines(whole)
    assert [(line["model"], line["temperature"]) for line in table] == [
        ("bicubic", ""),
        ("rrdb", ""),
        ("esrgan", ""),
        ("srflow", "0.85"),
    ]
    assert all(math.isfinite(float(line[metric])) for line in table for metric in METRICS)
    assert {line["n"] for line in table} == {"2"}
    spread = [float(line["sigma"]) for line in table]
    assert spread[:3] == [0, 0, 0], "only a model that draws has spread"
    assert spread[3] > 0.5


def test_the_table_holds_means_over_samples_then_images(whole):
    for line in lines(whole):
        own = by_image(whole, line["model"]).values()
        assert len(own) == 2
        for metric in METRICS:
            images = [fmean(value[metric]) if metric != "sigma" else value[metric] for value in own]
            assert float(line[metric]) == pytest.approx(fmean(images), abs=1e-9)
    assert all(len(found["psnr"]) == len({*found["psnr"]}) == 3 for found in by_image(whole, "srflow").values())


def test_the_report_prints_the_table(whole):
    header, *body = markdown_cells((whole / "report" / "report.md").read_text())
    metrics = [open_metric(name).info for name in METRICS]
    arrows = ["", " ↑", " ↓"]
    assert header == ["model", *(f"{m.title}{arrows[m.direction]}" for m in metrics), "n"]
    assert [cells[0] for cells in body] == ["bicubic", "rrdb", "esrgan", "srflow τ=0.85"]
    for line, cells in zip(lines(whole), body, strict=True):
        assert cells[1:-1] == [f"{float(line[m.name]):.{m.digits}f}" for m in metrics]


def test_the_report_says_how_data_weights_and_seed(whole):
    report = (whole / "report" / "report.md").read_text()
    assert all(escape(open_metric(name).info.protocol) in report for name in METRICS)
    assert "Data: `photos`, 2 images, **the first of 22**, **the central 96 x 96 of each**" in report
    assert "LR: made from HR by MATLAB-exact bicubic" in report
    assert "Seed: 0" in report
    assert "Samples per image, for models that sample: 3\n" in report
    for path in PACKAGED.values():
        line = next(line for line in report.splitlines() if sha256_file(path) in line)
        metadata = load_weights(path)[1]
        assert metadata["licence"] in line
        assert metadata["trained_on"] in line
        parameters = sum(tensor.numel() for tensor in load_file(path).values())
        assert f" {parameters:,} parameters" in line
    assert f"torch {torch.__version__}" in report


def test_the_command_in_the_report_makes_it_again(whole, srbench, tmp_path):
    """Record by record, and every image byte by byte."""
    command = re.findall(r"```sh\n(.*?)\n```", (whole / "report" / "report.md").read_text())[-1]
    words = shlex.split(command)
    assert words[:2] == ["srbench", "run"]
    assert words[words.index("--out") + 1] == str(whole)
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert srbench(*words[1:], "--workers", 1).exit_code == 0
    again = tmp_path / "again"
    assert timeless_records(again) == timeless_records(whole)
    assert (again / "report" / "table.csv").read_bytes() == (whole / "report" / "table.csv").read_bytes()
    images = sorted(path.relative_to(whole) for path in whole.rglob("*.png"))
    saved, made = 2 + 3 + 3, 1 + (4 + 4 + 1)  # LR, HR, outputs, samples; strip, maps
    assert len(images) == 2 * (saved + made)
    assert all((again / path).read_bytes() == (whole / path).read_bytes() for path in images)


def test_the_report_is_made_again_from_the_folder_alone(whole, srbench, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(whole, moved)
    made = [path for path in (moved / "report").rglob("*") if path.is_file()]
    faces, plots, strip, maps = 5, 6, 1, 4 + 4 + 1
    assert len(made) == faces + 1 + plots + 2 * (strip + maps), "and the list of them"
    for path in made:
        path.unlink()
    found = srbench("report", moved)
    assert found.exit_code == 0, found.output
    for path in made:
        assert path.read_bytes() == (whole / path.relative_to(moved)).read_bytes(), path.name


def test_saved_images_measure_the_same_as_the_model(measured, whole):
    """What is measured is what is saved: the floor to 8 bits is part of every metric."""
    back = measured(models=f"esrgan-png={whole / 'images' / 'esrgan'},srflow-png={whole / 'images' / 'srflow-t0.85'}")
    assert len(by_image(back, "esrgan-png")) == 2
    assert by_image(back, "esrgan-png") == by_image(whole, "esrgan")
    for image, value in by_image(whole, "srflow").items():
        saved = by_image(back, "srflow-png")[image]
        assert {name: saved[name] for name in METRICS[:-1]} == {name: value[name] for name in METRICS[:-1]}
        assert value["sigma"] / 2 < saved["sigma"] < value["sigma"] + 1, "clamping takes, cutting adds"
        assert saved["sigma"] != value["sigma"]


def test_saved_pairs_are_the_pairs_that_were_measured(srbench, whole, tmp_path):
    images = whole / "images"
    options = {
        "models": "bicubic",
        "scale": 8,
        "hr": images / "hr",
        "lr": images / "lr",
        "metrics": CHEAP,
        "workers": 1,
    }
    found = srbench(*arguments(options | {"out": tmp_path / "run"}))
    assert found.exit_code == 0, found.output
    both = by_image(tmp_path / "run", "bicubic"), by_image(whole, "bicubic")
    assert all(both[0][image] == {name: both[1][image][name] for name in CHEAP.split(",")} for image in both[1])


def test_weights_by_file_are_the_weights_by_name(measured, whole):
    run = measured(models=f"srflow:{PACKAGED['srflow']},mine=rrdb:{PACKAGED['rrdb']}", metrics="psnr")
    assert [line["model"] for line in lines(run)] == ["srflow-mini-x8", "mine"]
    for ours, packaged in (("srflow-mini-x8", "srflow"), ("mine", "rrdb")):
        expected = {image: {"psnr": value["psnr"]} for image, value in by_image(whole, packaged).items()}
        assert by_image(run, ours) == expected
    report = (run / "report" / "report.md").read_text()
    assert sha256_file(PACKAGED["srflow"]) in report
    assert sha256_file(PACKAGED["rrdb"]) in report
