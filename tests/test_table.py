"""The product end to end: the packaged models on packaged photographs, through the command line, to the table."""

from __future__ import annotations

import csv
import json
import math
import re
import shlex
import shutil
from statistics import fmean

import pytest
import torch
from builders import PACKAGED
from PIL import Image
from record_runs import by_image, timeless_records, values_in
from safetensors.torch import load_file, save_file

from srbench.files.hashes import sha256_file
from srbench.metrics.loading import open_metric
from srbench.pages.markdown import escape
from srbench.weights.files import load_weights

METRICS = ["psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique", "sigma"]
DETERMINISTIC = ("bicubic", "rrdb", "esrgan")
OPTIONS = {"models": "bicubic,rrdb,esrgan,srflow", "scale": 8, "limit": 2, "crop": 128, "samples": 3}


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
        ("srflow", "0.8"),
    ]
    assert all(math.isfinite(float(line[metric])) for line in table for metric in METRICS)
    assert {line["n"] for line in table} == {"2"}


def test_only_a_model_that_draws_has_spread(whole):
    spread = {line["model"]: float(line["sigma"]) for line in lines(whole)}
    assert all(spread[model] == 0 for model in DETERMINISTIC)
    assert spread["srflow"] > 0.5


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
    metrics = [open_metric(name).facts for name in METRICS]
    arrows = ["", " ↑", " ↓"]
    assert header == ["model", *(f"{m.title}{arrows[m.direction]}" for m in metrics), "n"]
    assert [cells[0] for cells in body] == ["bicubic", "rrdb", "esrgan", "srflow τ=0.8"]
    for line, cells in zip(lines(whole), body, strict=True):
        assert cells[1:-1] == [f"{float(line[m.name]):.{m.digits}f}" for m in metrics]


def test_the_report_says_how_data_weights_and_seed(whole):
    report = (whole / "report" / "report.md").read_text()
    assert all(escape(open_metric(name).facts.protocol) in report for name in METRICS)
    assert "Data: `photos`, 2 images, **the first of 22**, **the central 128 x 128 of each**" in report
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


def test_images_and_strips(whole):
    names = sorted(by_image(whole, "srflow"))
    assert names == ["abstract-geometric-art", "air-balloon"]
    report = (whole / "report" / "report.md").read_text()
    for name in names:
        assert f"![{name}](strips/{name}.png)" in report
        with Image.open(whole / "report" / "strips" / f"{name}.png") as strip:
            assert strip.width > 4 * 240, "LR, three models, two samples, HR: rows of four panels"
            assert len(strip.convert("RGB").getcolors(2**24)) > 1000
        for folder, size in {"hr": 128, "lr": 16, "bicubic": 128, "rrdb": 128, "esrgan": 128}.items():
            with Image.open(whole / "images" / folder / f"{name}.png") as image:
                assert (image.size, image.mode) == ((size, size), "RGB")
    saved = sorted(path.name for path in (whole / "images" / "srflow-t0.8").iterdir())
    assert saved == [f"{name}_sample{i}.png" for name in names for i in range(3)]


def test_every_temperature_is_a_line(measured):
    run = measured(models="srflow", temperature="0,0.8")
    cold, warm = lines(run)
    assert (cold["model"], float(cold["temperature"])) == ("srflow", 0)
    assert (warm["model"], float(warm["temperature"])) == ("srflow", 0.8)
    assert float(cold["sigma"]) == pytest.approx(0, abs=1e-3)
    assert float(warm["sigma"]) > 0.5
    assert [cells[0] for cells in markdown_cells((run / "report" / "report.md").read_text())[1:]] == [
        "srflow τ=0",
        "srflow τ=0.8",
    ]


def test_one_seed_one_result(measured, whole):
    again = measured(folder="again")
    assert timeless_records(again) == timeless_records(whole)
    assert (again / "report" / "table.csv").read_bytes() == (whole / "report" / "table.csv").read_bytes()
    images = sorted(path.relative_to(whole) for path in whole.rglob("*.png"))
    saved, made = 2 + 3 + 3, 1 + 1 + (4 + 4 + 1) + 1  # LR, HR, answers, samples; strip, grid, maps, sheet
    assert len(images) == 2 * (saved + made)
    assert all((again / path).read_bytes() == (whole / path).read_bytes() for path in images)


def test_another_seed_moves_the_drawn_alone(measured, whole):
    one, other = values_in(whole), values_in(measured(seed=1))
    assert one.keys() == other.keys()
    for key, value in one.items():
        if key[0] == "srflow":
            assert not set(value["psnr"]) & set(other[key]["psnr"])
        else:
            assert value == other[key]


def test_order_and_company_change_nothing(measured, whole):
    together = values_in(whole)
    assert values_in(measured(models="srflow,esrgan,rrdb,bicubic")) == together
    alone = values_in(measured(models="srflow", temperature="0,0.8"))
    assert {key: value for key, value in alone.items() if key[1] == 0.8} == {
        key: value for key, value in together.items() if key[0] == "srflow"
    }


def test_the_command_in_the_report_makes_it_again(measured, srbench, tmp_path):
    run = measured(seed=1)
    command = re.findall(r"```sh\n(.*?)\n```", (run / "report" / "report.md").read_text())[-1]
    words = shlex.split(command)
    assert words[:2] == ["srbench", "run"]
    assert words[words.index("--out") + 1] == str(run)
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert srbench(*words[1:]).exit_code == 0
    assert timeless_records(tmp_path / "again") == timeless_records(run)


def test_the_report_is_made_again_from_the_folder_alone(whole, srbench, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(whole, moved)
    made = [path for path in (moved / "report").rglob("*") if path.is_file()]
    faces, plots, strip, sheet, grid, maps = 5, 5, 1, 1, 1, 4 + 4 + 1
    assert len(made) == faces + 1 + plots + 2 * (strip + sheet + grid + maps), "and the list of them"
    for path in made:
        path.unlink()
    found = srbench("report", moved)
    assert found.exit_code == 0, found.output
    for path in made:
        assert path.read_bytes() == (whole / path.relative_to(moved)).read_bytes(), path.name


def test_saved_images_measure_the_same_as_the_model(measured, whole):
    """What is measured is what is saved: the floor to 8 bits is part of every metric."""
    folders = ",".join(f"{model}-png={whole / 'images' / model}" for model in DETERMINISTIC)
    back = measured(models=folders)
    for model in DETERMINISTIC:
        assert len(by_image(back, f"{model}-png")) == 2
        assert by_image(back, f"{model}-png") == by_image(whole, model)


def test_saved_samples_measure_the_same_but_for_the_spread(measured):
    """sigma is taken of the numbers as drawn, neither clamped nor cut to 8 bits: close, not equal."""
    drawn = measured(models="srflow", samples=2)
    back = by_image(measured(models=f"png={drawn / 'images' / 'srflow-t0.8'}"), "png")
    for image, value in by_image(drawn, "srflow").items():
        saved = back[image]
        assert {name: saved[name] for name in METRICS[:-1]} == {name: value[name] for name in METRICS[:-1]}
        assert value["sigma"] / 2 < saved["sigma"] < value["sigma"] + 1, "clamping takes, cutting adds"
        assert saved["sigma"] != value["sigma"]


def test_saved_pairs_are_the_pairs_that_were_measured(srbench, whole, tmp_path):
    images = whole / "images"
    options = {"models": "bicubic,rrdb,esrgan", "scale": 8, "hr": images / "hr", "lr": images / "lr"}
    found = srbench(*arguments(options | {"out": tmp_path / "run"}))
    assert found.exit_code == 0, found.output
    assert values_in(tmp_path / "run") == {k: v for k, v in values_in(whole).items() if k[0] != "srflow"}


def test_lr_sides_may_be_odd(measured):
    """136 pixels are 17 LR pixels, which no level of the flow divides."""
    run = measured(models="rrdb,srflow", crop=136, limit=1, metrics="psnr,sigma")
    assert [model for model, _, _ in values_in(run)] == ["rrdb", "srflow"]
    with Image.open(run / "images" / "srflow-t0.8" / "abstract-geometric-art_sample0.png") as image:
        assert image.size == (136, 136)
    assert abs(float(lines(run)[0]["psnr"]) - float(lines(run)[1]["psnr"])) < 5


def test_weights_by_file_are_the_weights_by_name(measured, whole):
    run = measured(models=f"srflow:{PACKAGED['srflow']},mine=rrdb:{PACKAGED['rrdb']}")
    assert [line["model"] for line in lines(run)] == ["srflow-mini-x8", "mine"]
    assert by_image(run, "srflow-mini-x8") == by_image(whole, "srflow")
    assert by_image(run, "mine") == by_image(whole, "rrdb")
    report = (run / "report" / "report.md").read_text()
    assert sha256_file(PACKAGED["srflow"]) in report
    assert sha256_file(PACKAGED["rrdb"]) in report


def test_changed_weights_show_in_the_report(srbench, tmp_path):
    """Every byte counts for the hash, and so for the key by which finished work is found again."""
    changed = tmp_path / "rrdb-mini-x8.safetensors"
    changed.write_bytes(PACKAGED["rrdb"].read_bytes())
    options = OPTIONS | {"models": f"rrdb:{changed}", "limit": 1, "metrics": "psnr", "out": tmp_path / "run"}
    assert srbench(*arguments(options)).exit_code == 0
    tensors = load_file(PACKAGED["rrdb"])
    tensors["conv_last.bias"] += 0.1
    save_file(tensors, changed, load_weights(PACKAGED["rrdb"])[1])
    assert srbench(*arguments(options)).exit_code == 0
    before, after = map(json.loads, (tmp_path / "run" / "rows.jsonl").read_text().splitlines())
    assert before["key"] != after["key"]
    assert after["value"][0] < before["value"][0] - 0.1
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    assert sha256_file(changed) in report
    assert sha256_file(PACKAGED["rrdb"]) not in report
    assert markdown_cells(report)[1:] == [["rrdb-mini-x8", f"{after['value'][0]:.2f}", "1"]]
