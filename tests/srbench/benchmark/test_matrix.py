"""A matrix of runs: several datasets, scales and suites in one request, killed, resumed, damaged, merged, at once."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from builders import drawn

from srbench.benchmark.matrix import cells_of
from srbench.images.io import write_png
from srbench.reporting.results import read_results
from srbench.reporting.writers import report
from srbench.run_folder.journal import writing
from srbench.run_folder.location import runs_below
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.request import RunSpec, dataset_titles

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
SOME = ("--data", "one/hr", "--suite", "own.toml", "--models", "models.py:Nearest", "--workers", 1)
"""Options for the two cells one-x3-own and one-x4-own of one model."""
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


def names(paths):
    return [path.name for path in paths]


def interrupt_in(monkeypatch, place):
    """Ctrl-C when so many outputs have been made."""
    from srbench.models import inference

    upscale, made = inference.upscale, []

    def counted(*arguments, **named):
        made.append(arguments)
        if len(made) > place:
            raise KeyboardInterrupt
        return upscale(*arguments, **named)

    monkeypatch.setattr(inference, "upscale", counted)
    return made


def test_cells_are_named_by_what_they_differ_in():
    """By data and scale where the metrics are named; else, or if there are several, by the suite too."""
    spec = RunSpec(("bicubic",), 4, metrics=("psnr",))
    for specs, named in (
        ([spec, replace(spec, scale=2)], ["photos-x4", "photos-x2"]),
        ([spec, replace(spec, suite="classic-y")], ["photos-x4-srflow", "photos-x4-classic-y"]),
        ([replace(spec, metrics=None)], ["photos-x4-srflow"]),
    ):
        assert [*cells_of(specs)] == named


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
    assert names(runs_below(Path("m"))) == CELLS
    assert command("run", bench, "--workers", 1, "--out", "whole").code == 0
    assert all(timeless(Path("m") / name) == timeless(Path("whole") / name) for name in CELLS)
    assert means("m") == means("whole")


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
    for file in (other / runs_below(matrix)[-1].name).glob("*manifest.json"):
        file.unlink()
    assert command("merge", matrix, other, "--out", "all").code == 1
    assert not Path("all").exists()


def test_folders_of_different_runs_are_not_merged(command, matrix):
    other = Path(shutil.copytree(matrix, "other"))
    shutil.rmtree(other / CELLS[2])
    done = command("merge", matrix, other, "--out", "all")
    assert (done.code, f"other: its runs differ from those of m, such as {CELLS[2]}" in done.err) == (1, True)
    done = command("merge", matrix, other / CELLS[3], "--out", "all")
    assert (done.code, "give either runs or folders" in done.err) == (2, True)
    assert not Path("all").exists()


def test_what_cannot_run_is_named_and_all_else_runs(command, bench):
    models = "models.py:Nearest,models.py:Broken"
    found = command("run", bench, "--models", models, "--suite", "own.toml", "--workers", 1)
    assert found.code == 1
    *_, one, two, last = (line for line in found.err.splitlines() if line.startswith(("failed: ", "srbench: ")))
    assert last == "srbench: 2 results could not be measured (all others were), see above"
    for line, cell in ((one, "one-x3-own"), (two, "two-x3-own")):
        assert line.startswith(f"failed: {cell}: ")
        assert found.err.count(line) == 1
    assert "one-x3-own" not in found.out, "a run that has not begun"
    assert {line["scale"] for line in means()} == {"4"}


def test_a_cell_in_use_is_passed_over_by_score(command, matrix):
    first, *others = runs_below(matrix)
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
    assert names(runs_below(Path("m"))) == ["one-x4-own", "one-x4-own-bicubic-opencv"]
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


def test_a_single_run_has_no_folder_around_it(command, bench, monkeypatch):
    monkeypatch.setattr(report, "write_report", WRITE_REPORT)
    assert command("run", bench, "--data", "one/hr", "--scale", 4, "--suite", "own.toml", "--workers", 1).code == 0
    assert runs_below(Path("m")) == [Path("m")]


def test_datasets_are_named_after_their_folders():
    for titles in (
        {"pairs2/HR": "pairs2", "/data/pairs3/gt/": "pairs3", "set5": "set5", "../HR": "HR"},
        {"one/HR": "one", "two/HR": "two", "a/images": "a-images", "b/images": "b-images", "/hr": "hr"},
        {"a/set7/HR": "a-set7", "b/set7": "b-set7", "HR": "HR"},
        {"a/HR": "HR", "a/GT": "GT"},
        {"set8": "set8", "set8/HR": "HR"},
    ):
        assert dataset_titles(list(titles)) == titles


def test_dry_run_and_default_folder(command, bench):
    text = bench.read_text().replace('out = "m"\n', "limit = 1\n").replace('["own.toml", "short.toml"]', '"own.toml"')
    bench.write_text(text)
    found = command("run", bench, "--dry-run")
    assert found.code == 0, found.err
    assert found.out.splitlines()[0].endswith("-matrix, 4 runs")
    assert not Path("runs").exists()
    assert command("run", bench, "--workers", 1).code == 0
    [first] = Path("runs").iterdir()
    assert command("run", bench, "--workers", 1, "--seed", "1").code == 0
    [second] = {*Path("runs").iterdir()} - {first}
    assert "--seed 1" in read_manifest(second / "one-x3-own").invocations[0].command
    assert command("run", bench, "--workers", 1, "--scale", "4,2").code == 0
    assert {*Path("runs").iterdir()} == {first, second}, "another command has a folder, a cell more has none"
    assert names(runs_below(first)) == sorted(f"{data}-x{scale}-own" for data in ("one", "two") for scale in (2, 3, 4))
    assert len(runs_below(second)) == 4


def test_a_folder_of_equal_and_other_commands_is_not_taken(command, bench, monkeypatch):
    """One of its runs was begun by another command."""
    monkeypatch.setattr(report, "write_report", WRITE_REPORT)
    bench.write_text(bench.read_text().replace('out = "m"\n', ""))
    assert command("run", bench, *SOME).code == 0
    [first] = Path("runs").iterdir()
    shutil.rmtree(first / "one-x3-own")
    assert command("run", bench, *SOME, "--scale", 3, "--seed", 1, "--out", first / "one-x3-own").code == 0
    assert command("run", bench, *SOME).code == 0
    assert len([*Path("runs").iterdir()]) == 2


def test_a_folder_in_which_another_command_begins(command, bench):
    """Its first run has a lock, and no manifest yet."""
    Path("m/two-x3-own").mkdir(parents=True)
    Path("m/two-x3-own/.lock").touch()
    assert command("run", bench, *SOME).code == 0
    assert names(runs_below(Path("m"))) == ["one-x3-own", "one-x4-own"]


def test_what_another_command_adds_stays(command, bench):
    """Runs of other datasets and scales in the same folder, and notes of the user beside them."""
    assert command("run", bench, *SOME).code == 0
    Path("m/notes.txt").write_text("mine")
    assert command("run", bench, *SOME, "--data", "two/hr").code == 0
    assert names(runs_below(Path("m"))) == ["one-x3-own", "one-x4-own", "two-x3-own", "two-x4-own"]
    assert {(line["data"], line["scale"]) for line in means()} == {(d, s) for d in ("one", "two") for s in "34"}
    assert Path("m/notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_two_commands_at_once(command, bench):
    """Into one folder: of other cells, and of the same cells, which only one command writes."""
    code = "from srbench.cli.main import main; main(prog_name='srbench')"

    def started(*words):
        arguments = [sys.executable, "-c", code, "run", str(bench), *map(str, (*SOME, *words))]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first, second = started(), started("--data", "two/hr")
    said = [process.communicate(timeout=600)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert {(line["data"], line["scale"], line["n"]) for line in means()} == {
        (data, scale, n) for data, n in (("one", "2"), ("two", "3")) for scale in "34"
    }
    first, second = started("--seed", 1, "--out", "same"), started("--seed", 1, "--out", "same")
    said = [process.communicate(timeout=600)[1] for process in (first, second)]
    for process, text in zip((first, second), said, strict=True):
        assert process.returncode == 0 or "another srbench process is writing" in text
    assert {(line["scale"], line["n"]) for line in means("same")} == {("3", "2"), ("4", "2")}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--scale", "4,0"], "'0' is not a whole number of 1 or more."),
        (["--suite", "own.toml,other.toml"], "two runs would share the folder one-x3-own"),
        (["--out", "one"], "one: already exists and has no runs in it"),
        (["--out", "run"], "run: is a run, and several runs need a folder around them"),
    ],
)
def test_requests_that_cannot_be_laid_out(command, bench, options, fault):
    Path("other.toml").write_text(SUITE)
    Path("run").mkdir()
    Path("run/manifest.json").touch()
    found = command("run", bench, *options)
    assert found.code in (1, 2)
    assert fault in found.err
    assert len(found.err.splitlines()) == 1
    assert not Path("m").exists()
