"""A matrix of runs: several datasets, scales and suites in one request, killed, resumed, damaged, in one table."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from builders import drawn

from srbench.images.io import write_png
from srbench.matrix.folder import FILE, MatrixCell, is_matrix, read_matrix, runs_in
from srbench.matrix.run import cells_of, titles_of
from srbench.reporting import report
from srbench.reporting.results import read_results
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.journal import writing
from srbench.run_folder.measurements import measurements_of
from srbench.run_folder.protocol import Setting
from srbench.run_folder.request import RunSpec

MODELS = """
import torch
import torch.nn.functional as F


class Nearest:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=self.scale)


class Noisy(Nearest):
    def sample(self, lr, n, *, temperature, generator):
        up = F.interpolate(lr[None], scale_factor=self.scale)
        return up + 0.1 * temperature * torch.randn((n, *up.shape[1:]), generator=generator).to(lr)


class OnlyFour(Nearest):
    scale = 4

    def __init__(self):
        pass


class Broken(Nearest):
    def __init__(self, scale):
        super().__init__(scale)
        if scale == 3:
            raise OSError("no such device")
"""
SUITE = 'name = "own"\nversion = 2\nquantize = "round"\nmetrics = ["psnr+channels=Y+border=scale"]\n'
CELLS = [f"{data}-x{scale}-{suite}" for data in ("one", "two") for scale in (3, 4) for suite in ("own", "short")]
WRITE_REPORT = report.write_report


def write_bench(here):
    """A bench.toml of two models, two folders called hr in folders of other names, two scales and two suites."""
    for folder, names in {"one/hr": "ab", "two/hr": "abc"}.items():
        for seed, name in enumerate(names):
            write_png(here / folder / f"{name}.png", drawn(seed + len(names), 36, 48))
    (here / "models.py").write_text(MODELS)
    (here / "own.toml").write_text(SUITE)
    (here / "short.toml").write_text(SUITE.replace("own", "short").replace("+channels=Y", ""))
    path = here / "bench.toml"
    path.write_text(
        'models = ["models.py:Nearest", "models.py:Noisy"]\n'
        'scale = [3, 4]\ndata = ["one/hr", "two/hr"]\nsuite = ["own.toml", "short.toml"]\nsamples = 2\nout = "m"\n'
    )
    return path


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """That file, and runs without reports of their own, which are tested elsewhere."""
    monkeypatch.setattr(report, "write_report", lambda folders, **_: None)
    return write_bench(tmp_path)


@pytest.fixture(scope="session")
def matrix_once(srbench, tmp_path_factory):
    """Its finished matrix. Nobody writes into it."""
    here = tmp_path_factory.mktemp("matrix")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr(report, "write_report", lambda folders, **_: None)
        done = srbench("run", write_bench(here), "--workers", 1)
    assert done.exit_code == 0, done.output
    return here / "m"


@pytest.fixture
def matrix(matrix_once, command, bench):
    """A copy of that matrix in the present folder."""
    return Path(shutil.copytree(matrix_once, "m"))


def means(folder="m"):
    with (Path(folder) / "report" / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def interrupt_in(monkeypatch, place):
    """Ctrl-C when so many outputs have been made."""
    from srbench.benchmark import sampler as sampling

    upscale, made = sampling.upscale, []

    def counted(*arguments, **named):
        made.append(arguments)
        if len(made) > place:
            raise KeyboardInterrupt
        return upscale(*arguments, **named)

    monkeypatch.setattr(sampling, "upscale", counted)
    return made


def test_cells_are_named_by_what_they_differ_in():
    """By data and scale where the metrics are named; else, or if there are several, by the suite too."""
    spec = RunSpec(("bicubic",), 4, metrics=("psnr",))
    for specs, names in (
        ([spec, replace(spec, scale=2)], ["photos-x4", "photos-x2"]),
        ([spec, replace(spec, suite="classic-y")], ["photos-x4-srflow", "photos-x4-classic-y"]),
        ([replace(spec, metrics=None)], ["photos-x4-srflow"]),
    ):
        assert [cell.name for cell in cells_of(specs)] == names


@pytest.mark.slow
def test_killed_and_resumed(command, bench, monkeypatch, timeless):
    outputs = 2 * (2 + 3) * 2 * 2
    with monkeypatch.context() as patch:
        interrupt_in(patch, 11)
        assert command("run", bench, "--workers", 1).code == 130
    assert 0 < len([name for name in CELLS if (Path("m") / name / "samples.jsonl").exists()]) < len(CELLS)
    with monkeypatch.context() as patch:
        made = interrupt_in(patch, 10**6)
        found = command("run", bench, "--workers", 1)
        assert found.code == 0, found.err
        assert len(made) == outputs - 11
        assert command("run", bench, "--workers", 1).code == 0
        assert len(made) == outputs - 11, "nothing is left to do"
    assert [cell.name for cell in read_matrix(Path("m")).cells] == CELLS
    assert command("run", bench, "--workers", 1, "--out", "whole").code == 0
    assert all(timeless(Path("m") / name) == timeless(Path("whole") / name) for name in CELLS)
    assert means("m") == means("whole")


def test_one_table_in_four_formats(command, matrix):
    lines = means()
    assert len(lines) == 8 * 2
    texts = {name: (matrix / "report" / name).read_text() for name in ("report.md", "report.html", "table.tex")}
    for line in lines:
        cell = MatrixCell(line["data"], int(line["scale"]), line["suite"].split("@")[0])
        rows = measurements_of(RunFolder.read(matrix / cell.name))
        values = [row.values["psnr"] for row in rows if row.setting.model == line["model"]]
        assert int(line["n"]) == len(values)
        assert float(line["mean"]) == pytest.approx(sum(sum(v) / len(v) for v in values) / len(values))
        assert line["signature"] == f"PSNR|{'Y' if cell.suite == 'own' else 'RGB'}|round|crop(scale)|v1"
        label = Setting(line["model"], float(line["temperature"]) if line["temperature"] else None).label
        number = f"{float(line['mean']):.2f}"
        row = rf"\| {line['data']} +\| {line['scale']}x +\| {re.escape(label)} +\|.*\b{number}\b"
        assert re.search(row, texts["report.md"]), row
        assert number in texts["report.html"]
        assert number in texts["table.tex"]
    assert "bold" not in texts["table.tex"], "no caption explains bold, as three images permit none"
    assert "unknown format 'pdf'; choose from md, html, tex, csv" in command("report", matrix, "--format", "pdf").err
    assert command("report", matrix, "--format", "csv").out.splitlines()[-1] == "Report: m/report/table.csv"


def test_links_lead_to_reports(command, bench, monkeypatch):
    monkeypatch.setattr(report, "write_report", WRITE_REPORT)
    found = command("run", bench, "--models", "models.py:Nearest", "--scale", 4, "--data", "one/hr", "--workers", 1)
    assert found.code == 0, found.err
    for page in "report.md", "report.html":
        links = re.findall(rf"[^\"(]+/{page}", (Path("m/report") / page).read_text())
        assert len(links) == 2
        assert all((Path("m/report") / link).is_file() for link in links)
        assert (Path("m/report") / page).read_text().count("no other row to compare it with") == 2, "findings"
    strips = re.findall(r'<img src="([^"]+)"', Path("m/report/report.html").read_text())
    assert strips == [f"../one-x4-{suite}/report/strips/a.png" for suite in ("own", "short")]
    assert all((Path("m/report") / strip).is_file() for strip in strips)
    first, second = (Path("m/report") / strip for strip in strips)
    first.write_bytes(first.read_bytes() + b" ")
    assert command("report", "m").code == 0
    assert re.findall(r'<img src="([^"]+)"', Path("m/report/report.html").read_text()) == strips[1:]
    monkeypatch.setattr(report, "write_report", lambda folders, **_: None)
    assert command("score", "m", "--metrics", "ssim", "--workers", 1).code == 0
    assert second.is_file()
    assert "<img" not in Path("m/report/report.html").read_text(), "strips of earlier records"


@pytest.mark.slow
def test_rows_are_filtered_and_colours_change(command, matrix, browser):
    page = browser.new_page()
    page.goto((matrix / "report" / "report.html").resolve().as_uri())
    rows = page.locator(".stacked tbody tr:visible")
    assert rows.count() == 8 * 2
    page.fill("#filter", "noisy")
    assert rows.count() == 8
    assert rows.locator("th:first-child:visible").count() == 8, "each row is the first of its block"
    page.fill("#filter", "two 3×")
    assert rows.count() == 2 * 2
    assert page.locator(".block:visible h3").all_inner_texts() == ["two 3×"] * 2
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.close()


def test_score_and_verify_are_of_all_cells(command, matrix):
    assert command("score", matrix, "--metrics", "ssim", "--workers", 1).code == 0
    assert "SSIM" in (matrix / "report" / "report.md").read_text()
    found = command("verify", matrix, "--resample", 1)
    assert found.code == 0, found.out
    assert found.out.count("by their models") == len(CELLS)
    kept = next((matrix / CELLS[3] / "images" / "Nearest").glob("*.png"))
    shutil.copy(matrix / CELLS[3] / "images" / "hr" / kept.name, kept)
    found = command("verify", matrix, "--format", "json")
    assert found.code == 1
    verdicts = {Path(one["folder"]).name: one["verdict"] for one in json.loads(found.out)}
    assert [name for name in CELLS if verdicts[name] == "contradicted"] == [CELLS[3]]


@pytest.mark.parametrize(("file", "content"), [("manifest.json", None), ("rows.jsonl", "{}\n")])
def test_a_damaged_cell_is_an_error_and_the_others_are_shown(command, matrix, file, content):
    damaged = matrix / CELLS[1]
    for path in damaged.glob(f"*{file}"):
        path.unlink()
        if content is not None:
            path.write_text(content)
    shutil.rmtree(matrix / CELLS[3])
    found = command("report", matrix)
    assert found.code == 1
    assert found.err.splitlines()[-1].startswith(f"srbench: {damaged}: ")
    assert f"{CELLS[3]}: nothing is measured yet" in found.out
    assert {(line["data"], line["scale"], line["suite"]) for line in means()} == {
        (data, scale, suite)
        for data, scale, suite in (
            (one, scale, suite) for one in ("one", "two") for scale in "34" for suite in ("own@2", "short@2")
        )
        if f"{data}-x{scale}-{suite[:-2]}" not in (CELLS[1], CELLS[3])
    }
    assert CELLS[1] in (matrix / "report" / "report.html").read_text()
    verified = command("verify", matrix)
    assert (verified.code, str(damaged) in verified.err) == (1, True)
    assert verified.out.count("reproduced from their images") == len(CELLS) - 2
    scored = command("score", matrix, "--metrics", "lr_psnr", "--workers", 1)
    assert (scored.code, CELLS[1] in scored.err) == (1, True)
    assert "lr_psnr" in {line["metric"] for line in means()}


def test_a_report_folder_of_somebody_else_is_refused(command, matrix):
    shutil.rmtree(matrix / "report")
    (matrix / "report").mkdir()
    (matrix / "report" / "mine.txt").write_text("mine")
    found = command("report", matrix)
    assert (found.code, "not made by srbench" in found.err) == (1, True)
    assert [file.name for file in (matrix / "report").iterdir()] == ["mine.txt"]


def test_shards_are_merged(command, bench, timeless):
    for shard in "1/2", "2/2":
        found = command("run", bench, "--workers", 1, "--shard", shard, "--out", f"s{shard[0]}")
        assert found.code == 0, found.err
        assert "combine all shards with srbench merge" in found.out
    for _ in range(2):  # the second as after a kill before the report was written
        assert command("merge", "s1", "s2", "--out", "m").code == 0
    assert command("run", bench, "--workers", 1, "--out", "whole").code == 0
    assert all(timeless(Path("m") / name) == timeless(Path("whole") / name) for name in CELLS)
    assert means("m") == means("whole")


def test_a_matrix_that_cannot_be_merged_leaves_nothing(command, matrix):
    other = Path(shutil.copytree(matrix, "other"))
    for file in (other / runs_in(matrix)[-1].name).glob("*manifest.json"):
        file.unlink()
    assert command("merge", matrix, other, "--out", "all").code == 1
    assert not Path("all").exists()


def test_what_cannot_run_is_named_and_all_else_runs(command, bench):
    models = "models.py:Nearest,models.py:Broken"
    found = command("run", bench, "--models", models, "--suite", "own.toml", "--workers", 1)
    assert found.code == 1
    assert found.err.splitlines()[-1].startswith(
        "srbench: 2 results could not be measured (all others were): one-x3-own: "
    )
    assert "one-x3-own: nothing is measured yet" in found.out
    assert {line["scale"] for line in means()} == {"4"}


def test_a_cell_in_use_is_passed_over_by_score(command, matrix):
    first, *others = runs_in(matrix)
    with writing(first):
        done = command("score", matrix, "--metrics", "lr_psnr")
    assert (done.code, f"{first.name}: another srbench process is writing" in done.err) == (1, True), done.err
    assert others
    assert all('"metric": "lr_psnr"' in (one / "rows.jsonl").read_text() for one in others)


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_model_of_one_scale_is_left_out_of_the_others(command, bench):
    models = "models.py:Nearest,models.py:OnlyFour"
    found = command("run", bench, "--models", models, "--data", "one/hr", "--suite", "own.toml", "--workers", 1)
    assert found.code == 0, found.err
    assert "models.py:OnlyFour has another scale; it is left out of x3" in found.err
    assert {row.setting.model for row in read_results([Path("m/one-x3-own")]).measurements} == {"Nearest"}
    assert {row.setting.model for row in read_results([Path("m/one-x4-own")]).measurements} == {"Nearest", "OnlyFour"}
    found = command("run", bench, "--models", "models.py:OnlyFour")
    assert (found.code, found.err) == (1, "srbench: x3: no model has this scale; leave it out of --scale\n")


def test_degradations_are_datasets(command, bench):
    one = ("--data", "one/hr", "--scale", 4, "--suite", "own.toml", "--models", "models.py:Nearest")
    found = command("run", bench, *one, "--degrade", "bicubic,bicubic-opencv", "--workers", 1)
    assert found.code == 0, found.err
    assert [cell.name for cell in read_matrix(Path("m")).cells] == ["one-x4-own", "one-x4-own-bicubic-opencv"]
    first, second = means()
    assert (first["data"], second["data"]) == ("one", "one, bicubic-opencv")
    assert first["mean"] != second["mean"]


def test_names_of_cells_in_a_folder_of_results(command, bench, tmp_path):
    """Placeholders stand for the cell: one folder of results a dataset and scale."""
    for scale in 3, 4:
        shutil.copytree(tmp_path / "one/hr", tmp_path / f"theirs/one/x{scale}")
        shutil.copytree(tmp_path / "two/hr", tmp_path / f"theirs/two/x{scale}")
    found = command("run", bench, "--models", "theirs=theirs/{data}/x{scale}", "--suite", "own.toml", "--workers", 1)
    assert found.code == 0, found.err
    assert [line["mean"] for line in means()] == ["inf"] * 4


def test_a_single_run_is_no_matrix(command, bench, monkeypatch):
    monkeypatch.setattr(report, "write_report", WRITE_REPORT)
    assert command("run", bench, "--data", "one/hr", "--scale", 4, "--suite", "own.toml", "--workers", 1).code == 0
    assert not is_matrix(Path("m"))
    assert RunFolder.read(Path("m")).manifest.protocol.scale == 4


def test_datasets_are_named_after_their_folders():
    for titles in (
        {"pairs2/HR": "pairs2", "/data/pairs3/gt/": "pairs3", "set5": "set5", "../HR": "HR"},
        {"one/HR": "one", "two/HR": "two", "a/images": "a-images", "b/images": "b-images", "/hr": "hr"},
        {"a/set7/HR": "a-set7", "b/set7": "b-set7", "HR": "HR"},
        {"a/HR": "HR", "a/GT": "GT"},
        {"set8": "set8", "set8/HR": "HR"},
    ):
        assert titles_of(list(titles)) == titles


def test_dry_run_and_default_folder(command, bench):
    text = bench.read_text().replace('out = "m"\n', "limit = 1\n").replace('["own.toml", "short.toml"]', '"own.toml"')
    bench.write_text(text)
    found = command("run", bench, "--dry-run")
    assert found.code == 0, found.err
    assert found.out.splitlines()[0].endswith("-matrix, 4 runs")
    assert not Path("runs").exists()
    assert command("run", bench, "--workers", 1).code == 0
    assert command("run", bench, "--workers", 1, "--seed", "1").code == 0
    assert command("run", bench, "--workers", 1).code == 0
    folders = sorted(Path("runs").iterdir())
    assert len(folders) == 2, "another command has a folder of its own"
    assert all(map(is_matrix, folders))
    assert "--scale 3,4" in read_matrix(folders[0]).command


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--scale", "4,1"], "'1' is not a whole number of 2 or more."),
        (["--suite", "own.toml,other.toml"], "two runs would share the folder one-x3-own"),
        (["--out", "one"], "one: already exists and is not a matrix of srbench"),
    ],
)
def test_requests_that_cannot_be_laid_out(command, bench, options, fault):
    Path("other.toml").write_text(SUITE)
    found = command("run", bench, *options)
    assert found.code in (1, 2)
    assert fault in found.err
    assert len(found.err.splitlines()) == 1
    assert not Path("m").exists()


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"format": 1, "command": "", "cells": [{"data": "../x", "scale": 2, "suite": "s"}]}',
        '{"format": 9, "command": "", "cells": []}',
        '{"format": 1, "command": "srbench run", "cells": []}',
    ],
)
def test_a_damaged_or_empty_list_is_one_line(command, content):
    Path("m").mkdir()
    (Path("m") / FILE).write_text(content)
    for words in (["report", "m"], ["verify", "m"], ["score", "m", "--metrics", "psnr"]):
        found = command(*words)
        assert (found.code, len(found.err.splitlines())) == (1, 1)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(matrix):
    table = (matrix / "report" / "table.tex").read_text()
    head = "\\documentclass[twocolumn]{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}"
    (matrix.parent / "paper.tex").write_text(f"{head}\n{table}\\end{{document}}\n")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "paper.tex"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:]
