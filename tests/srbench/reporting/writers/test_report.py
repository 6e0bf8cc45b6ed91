from __future__ import annotations

import csv
import math
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from builders import metric
from markdown_it import MarkdownIt
from PIL import Image
from rich.console import Console

from srbench.benchmark.run import run as run_benchmark
from srbench.interfaces import SRBenchError, WeightsInfo
from srbench.judging.sentences import printed
from srbench.reporting.tables.terminal import terminal_table
from srbench.reporting.writers.report import _costs, write_report
from srbench.run_folder.protocol import Setting

NAMES = ["apple", "birch", "cedar", "daisy", "elm", "fir leaf"]
METRICS = (metric("psnr"), metric("lpips"), metric("sigma"))
WEIGHTS = WeightsInfo("c0ffee" * 10, "CC0-1.0", "90 images | CPU", 1234567)
SETTINGS = [("bicubic", None), ("flow", 0.5), ("flow", 0.9)]


GOLDEN = Path(__file__).parents[3] / "golden" / "report"
MANY = [*NAMES, "ginkgo", "hazel"]
"""Enough for a verdict on three rows."""


def test_seconds_leave_out_the_first_image_of_a_process(make_row):
    """Two processes: each loads what it needs with its first image."""
    seconds = [9.0, 8.0, 0.5, 0.7, 0.6]
    rows = [make_row("rrdb", None, str(image), {"psnr": [20.0]}, took) for image, took in enumerate(seconds)]
    assert _costs(rows, ())[1] == ["rrdb", "1", "0.70", "0.25"], "the memory of a process on a CPU is not a model's"
    assert _costs(rows, {rows[0].sample.environment})[1][4] == "100"


def values(temperature, place):
    if temperature is None:
        return {"psnr": [20.0 + place], "lpips": [0.4], "sigma": 0.0}
    return {"psnr": [19.0 + place, 21.0 + place], "lpips": [0.1 + temperature, 0.2 + temperature], "sigma": temperature}


def all_rows(names=NAMES):
    """Values by setting and image."""
    return {(model, t): {name: values(t, place) for place, name in enumerate(names)} for model, t in SETTINGS}


def of_images(names):
    return {setting: {name: found[name] for name in names} for setting, found in all_rows().items()}


@pytest.fixture
def write_run(make_run, greys):
    """Grey levels: LR 10, HR 250, the settings 60, 90, 120; a second sample is 30 levels brighter."""

    def call(rows, folder="run", **changed):
        invocation = {
            "command": "srbench run --models bicubic,flow --scale 4",
            "hardware": {"cpu": "abacus", "threads": "1"},
            "started": "2026-01-31T12:00:00+00:00",
            "finished": "2026-01-31T12:01:00+00:00",
        }
        facts = {
            "images": NAMES,
            "metrics": METRICS,
            "greys": greys(10, 250, 60, 30),
            "settings": SETTINGS,
            "protocol": {"dataset": "trees", "seed": 7} | changed.pop("protocol", {}),
            "models": {"flow": {"weights": WEIGHTS} | changed.pop("flow", {})},
            "invocation": invocation | changed.pop("invocation", {}),
        }
        return make_run(folder, rows, **facts | changed)

    return call


def report(run, *formats):
    """The text of report.md, written alone or with other formats."""
    return write_report([run], formats or ["md"]).files[0].read_text()


@pytest.fixture
def run(write_run):
    return write_run(all_rows())


def test_the_files_of_a_report(write_run):
    """Word by word, in every format: write the files anew with GOLDEN=write and read what has changed."""
    third = {name: values(None, place) | {"lpips": [0.7]} for place, name in enumerate(MANY)}
    settings = [*SETTINGS, ("third", None)]
    run = write_run(all_rows(MANY) | {("third", None): third}, images=MANY, settings=settings)
    done = write_report([run])
    console = Console(width=80, force_terminal=True, color_system="standard", _environ={})
    with console.capture() as capture:
        console.print(terminal_table(done.tables[0]))
    texts = {name: (run / "report" / name).read_text() for name in ("report.md", "table.tex")}
    texts["table.csv"] = re.sub(r"(\.\d{4})\d+", r"\1", (run / "report" / "table.csv").read_text())
    write_report([run], ["tex"], intervals=True)
    texts["table_intervals.tex"] = (run / "report" / "table.tex").read_text()
    for name, text in (texts | {"terminal.txt": capture.get()}).items():
        if os.environ.get("GOLDEN") == "write":
            (GOLDEN / name).write_text(text)
        assert text == (GOLDEN / name).read_text(), name


def test_the_mean_of_few_images_has_no_interval(write_run):
    """Five images have no interval in any file; six have one."""
    rows = all_rows()
    for name in NAMES[5:]:
        del rows["flow", 0.5][name]
    run = write_run(rows)
    text = report(run, "md", "csv", "tex")
    assert "> No 95 % interval is given for the mean of fewer than 6 images: flow τ=0.5 5.\n" in text
    header, *lines = csv.reader((run / "report" / "table.csv").read_text().splitlines())
    assert [line[header.index("psnr_low")] != "" for line in lines] == [True, False, True]
    write_report([run], ["tex"], intervals=True)
    table = (run / "report" / "table.tex").read_text()
    assert table.count("scriptsize") == 2
    assert (
        r"means over images, and over 2 samples of each, with 95\,\% intervals (by sign flips, from 6 images on)"
        in table
    )
    few = write_run(of_images(NAMES[:5]))
    assert "intervals of the means" not in report(few, "md")
    write_report([few], ["tex"], intervals=True)
    assert "scriptsize" not in (few / "report" / "table.tex").read_text()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_a_page_prints_a_value_that_rounds_to_zero_without_sign():
    script = (files("srbench.reporting") / "templates" / "tables.js").read_text()
    script += "console.log([-0.00004, -0.001, 1.5].map((value) => printed(value, { digits: 3 })).join(' '))"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0.000 -0.001 1.500\n", done.stderr


def test_values_and_labels_as_printed():
    texts = [printed(value, METRICS[0]) for value in (1.005, 22.496, math.inf, math.nan, -1e-9, -0.01)]
    assert texts == ["1.00", "22.50", "inf", "–", "0.00", "-0.01"]
    assert Setting("flow", 0.80).label == "flow τ=0.8"
    assert Setting("bicubic", None).label == "bicubic"


def levels_of_strip(run):
    """The levels of the images of a strip from left to right, each of one level; white and frames are skipped."""
    row = np.asarray(Image.open(run / "report" / "strips" / "daisy.png"))[20, :, 0]
    runs = [(int(level), len([*run])) for level, run in groupby(row)]
    return [level for level, _ in groupby(level for level, length in runs if level != 255 and length > 9)]


def test_strips_show_every_model_at_one_temperature(run):
    text = report(run)
    assert sorted(path.stem for path in (run / "report" / "strips").iterdir()) == NAMES
    assert [name for name in NAMES if f"![{name}](strips/" in text] == ["birch", "daisy", "fir leaf"]
    assert "![fir leaf](strips/fir%20leaf.png)" in text
    levels = levels_of_strip(run)  # HR | LR, bicubic, flow at 0.9, its second sample, HR
    assert levels == [250, 10, 60, 120, 150, 250]


def test_a_image_that_was_not_saved_leaves_no_panel(run):
    (run / "images" / "flow-t0.9" / "daisy_sample1.png").unlink()
    write_report([run])
    assert levels_of_strip(run) == [250, 10, 60, 90, 120, 250], "the other temperature instead"
    for path in (run / "images" / "hr").iterdir():
        path.unlink()
    text = write_report([run], ["md"], run.with_name("out")).files[0].read_text()
    assert "## Images" not in text
    assert "The images of this run are not here: `srbench verify --resample all`" in text.splitlines()[-1]


def test_plots_are_embedded(run, with_plots):
    text = report(run)
    embedded = re.findall(r"\]\(plots/(.*)\)\n\n\*\*", text)
    assert embedded == ["differences.svg", "plane.svg", "temperature.svg", "distributions.svg"], "what differs leads"
    assert all((run / "report" / "plots" / name).exists() for name in embedded)


def test_the_baseline_of_the_differences(run, srbench, with_plots):
    done = srbench("report", run, "--format", "md", "--baseline", "flow-t0.5")
    assert done.exit_code == 0, done.output
    assert (
        "**Differences from flow τ=0.5.** Mean of the paired differences from flow τ=0.5"
        in (run / "report" / "report.md").read_text()
    )
    done = srbench("report", run, "--baseline", "flow-t0.55")
    assert done.exit_code == 1
    assert done.output.startswith("srbench: unknown baseline 'flow-t0.55'; did you mean flow-t0.5")


def test_maps(run):
    report(run)
    maps = {str(path.relative_to(run / "report" / "maps")) for path in (run / "report" / "maps").rglob("daisy*")}
    settings = ["bicubic", "flow-t0.5", "flow-t0.9"]
    assert maps == {f"{setting}/daisy_error.png" for setting in settings} | {
        f"{setting}/daisy_deviation.png" for setting in settings[1:]
    }, "24 pixels are too few for LPIPS"
    with Image.open(run / "report" / "maps" / "flow-t0.5" / "daisy_error.png") as image:
        assert (image.mode, set(np.asarray(image).flat)) == ("P", {255}), "160 grey levels off: saturated"
    with Image.open(run / "report" / "maps" / "flow-t0.5" / "daisy_deviation.png") as image:
        assert set(np.asarray(image).flat) == {round(30 / 2**0.5 / 32 * 255)}


def test_maps_are_named_only_if_there_are_any(run):
    assert "and `maps/` has the maps of the error and of the spread of samples that `report.html` shows." in report(run)
    assert (run / "report" / "maps").exists()
    shutil.rmtree(run / "images" / "hr")
    assert "`maps/`" not in report(run)
    assert not (run / "report" / "maps").exists()


HOSTILE = "<img src=x onerror=alert(1)>", "a|b_c*d`e$f$", "[x](y) & # 100%"


def test_names_of_users_stay_text(make_run):
    first, second, third = HOSTILE
    run = make_run(
        "run",
        {
            (second, None): {first: (20.0, 0.1), third: (21.0, 0.2)},
            ("flow", 0.8): {first: ([20.0] * 2, [0.1] * 2), third: ([21.0] * 2, [0.2] * 2)},
        },
        metrics=(metric("psnr", title="A_b|$&<i>"), metric("lpips")),
    )
    write_report([run])
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render((run / "report" / "report.md").read_text())
    known = set("h1 h2 p em strong u ul li table thead tbody tr th td img pre code blockquote details summary".split())  # noqa: SIM905
    assert set(re.findall(r"<(\w+)", html)) <= known
    shown = unescape(re.sub("<[^>]*>", "", html))
    assert second in shown
    assert "A_b|$&<i> ↑" in shown
    images = [unescape(source) for source in re.findall(r'src="([^"]*)"', html)]
    assert len(images) == 2
    assert all((run / "report" / unquote(source)).exists() for source in images)
    assert set(map(unescape, re.findall(r'alt="([^"]*)"', html))) >= {first, third}


def test_a_run_without_rows_is_named(write_run):
    run = write_run({})
    with pytest.raises(SRBenchError, match="nothing is measured"):
        write_report([run])
    assert not (run / "report" / "report.md").exists()


IMPORTS = """
import sys, threading
from pathlib import Path

class Finder:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            print(name)

sys.meta_path.insert(0, Finder())
from srbench.reporting.figures import image_files
from srbench.reporting.writers.report import write_report

image_files.EMBEDDED = 1
run = Path(sys.argv[1])
write_report([run], single_file=True)
assert len(list((run / "report" / "maps" / "bicubic").glob("*_lpips.png"))) == 1, "LPIPS was loaded"
assert "scipy.stats" not in sys.modules
"""


def test_no_thread_imports_anything(changed):
    """An import of torch in a thread met an import of scipy.stats in another: partially initialized module."""
    run = run_benchmark(changed(models=("bicubic",), data="photos", crop=96, limit=3, metrics=("psnr",))).folder
    done = subprocess.run([sys.executable, "-c", IMPORTS, run], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


@pytest.mark.filterwarnings("always")
def test_a_report_of_edited_records_says_so_in_a_line(finished, command):
    rows = finished / "rows.jsonl"
    rows.write_text(rows.read_text().replace('"value": [', '"value": [1', 1))
    done = command("report", finished, "--format", "csv")
    assert done.code == 0
    lines = [line for line in done.err.splitlines() if "SHA256SUMS" in line]
    assert lines == [f"warning: {finished}: rows.jsonl changed since srbench wrote SHA256SUMS; see srbench verify"]
    assert command("report", finished, "--format", "csv").err == done.err, "each time"
