from __future__ import annotations

import json
import math
import re
from html import unescape
from urllib.parse import unquote

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image
from rich.console import Console

from srbench.images import write_whole
from srbench.manifest import write_manifest
from srbench.reporting.report import EMBEDDED, write_report
from srbench.reporting.scores import printed, terminal_table
from srbench.results import Row, read_rows, setting_label
from srbench.statistics import mean_interval
from srbench.types import SRBenchError

NAMES = ["apple", "birch", "cedar", "daisy", "elm", "fir leaf"]
UP = {"higher_is_better": True, "digits": 2}
DOWN = {"higher_is_better": False, "digits": 2}
METRICS = [
    {"name": "psnr", "title": "PSNR", "unit": "dB", "protocol": "uint8 RGB", **UP},
    {"name": "lpips", "title": "LPIPS", "unit": "", "protocol": "AlexNet", **DOWN, "digits": 3},
    {"name": "sigma", "title": "sigma", "unit": "grey levels", "protocol": "ddof 1", **UP},
]
WEIGHTS = {"sha256": "c0ffee" * 10, "licence": "CC0-1.0", "trained_on": "90 pictures | CPU", "parameters": 1234567}
MODELS = [
    {"label": "bicubic", "spec": "bicubic", "digest": "0", "weights": None},
    {"label": "flow", "spec": "flow", "digest": "1", "weights": WEIGHTS},
]
SETTINGS = [("bicubic", None), ("flow", 0.5), ("flow", 0.9)]
LEVEL = {"lr": 10, "hr": 250, "bicubic": 60, "flow-t0.5": 90, "flow-t0.9": 120}
"""Grey level of every picture of a kind; a second sample is 30 levels brighter."""


def values(model, temperature, place):
    if temperature is None:
        return {"psnr": [20.0 + place], "lpips": [0.4], "sigma": 0.0}
    return {"psnr": [19.0 + place, 21.0 + place], "lpips": [0.1 + temperature, 0.2 + temperature], "sigma": temperature}


def row(model, temperature, place, **changed) -> Row:
    facts = {
        "key": f"{model}-{temperature}-{NAMES[place]}",
        "model": model,
        "temperature": temperature,
        "dataset": "trees",
        "image": NAMES[place],
        "scale": 4,
        "samples": 1 if temperature is None else 2,
        "seed": 7,
        "suite": "srflow@1",
        "values": values(model, temperature, place),
        "model_seconds": 0.5,
        "metric_seconds": 0.25,
        "peak_memory_mb": 100.0 + place,
    }
    return Row(**facts | changed)


def write_run(run, rows, **changed):
    keys = [row(*setting, place).key for place in range(len(NAMES)) for setting in SETTINGS]
    facts = {
        "command": "srbench run --models bicubic,flow --scale 4",
        "suite": "srflow@1",
        "dataset": {"name": "trees", "names": NAMES, "limit": None, "crop": None, "lr": "made from HR"},
        "scale": 4,
        "samples": 2,
        "temperatures": [0.5, 0.9],
        "seed": 7,
        "metrics": METRICS,
        "models": MODELS,
        "software": {"torch": "2.9"},
        "hardware": {"cpu": "abacus", "threads": 1},
        "started": "2026-01-31T12:00:00+00:00",
        "finished": "2026-01-31T12:01:00+00:00",
        "failures": [],
        "keys": keys,
    }
    write_manifest(run, facts | changed)
    write_whole(run / "rows.jsonl", "".join(f"{row.to_json()}\n" for row in rows).encode())
    for name in NAMES:
        for kind, level in LEVEL.items():
            size = 6 if kind == "lr" else 24
            for sample in range(2) if "-t" in kind else [0]:
                ending = f"_sample{sample}" if "-t" in kind else ""
                path = run / "images" / kind / f"{name}{ending}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (size, size), (level + 30 * sample,) * 3).save(path)
    return run


def all_rows():
    return [row(*setting, place) for place in range(len(NAMES)) for setting in SETTINGS]


def report(run):
    """The text of report.md."""
    return write_report([run], ["md"]).files[0].read_text()


def table_lines(text):
    """Cells of the first table of the report, by row label, without the intervals."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    lines = lines[: 2 + next(i for i, line in enumerate(lines[2:]) if line.startswith("| model"))]
    assert len({len(line) for line in lines}) == 1, "aligned as plain text"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells if first}


@pytest.fixture(autouse=True)
def no_plots(monkeypatch, request):
    """They have tests of their own, and take a second each time."""
    if "with_plots" not in request.fixturenames:
        monkeypatch.setattr("srbench.reporting.report.write_plots", lambda *_: [])


@pytest.fixture
def with_plots():
    """For the tests that want them."""


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", all_rows())


def test_a_model_made_consistent_is_marked(tmp_path):
    models = [MODELS[0], MODELS[1] | {"label": "flow", "spec": "flow=srflow+consistent"}]
    rows = [row(*setting, place) for place in range(len(NAMES)) for setting in SETTINGS]
    write_run(tmp_path / "plain", rows)
    write_run(tmp_path / "marked", rows, models=models)
    note = "made to shrink back to LR afterwards: flow."
    texts = [(write_report([tmp_path / name], ["md"]).files[0]).read_text() for name in ("plain", "marked")]
    assert [note in text for text in texts] == [False, True]


def test_the_table(run):
    table = table_lines(report(run))
    assert table["model"] == ["PSNR ↑", "LPIPS ↓", "sigma ↑", "n"]
    assert table["bicubic"] == ["22.50", "**0.400**", "0.00", "6"], "all PSNR are equal: no mark"
    assert table["flow τ=0.5"] == ["22.50", "<u>0.650</u>", "0.50", "6"]
    assert table["flow τ=0.9"] == ["22.50", "1.050", "**0.90**", "6"]


def test_intervals_stand_beneath_their_means(run):
    lines = report(run).splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("| bicubic"))
    cells = [cell.strip() for cell in lines[place + 1].strip("|").split("|")]
    low, high = mean_interval([20.0, 21, 22, 23, 24, 25])
    assert cells == ["", f"{low:.2f}–{high:.2f}", "", "", ""], "what is the same for every picture has no width"


def test_values_and_labels_as_printed():
    assert [printed(value, UP) for value in (1.005, 22.496, math.inf, math.nan)] == ["1.00", "22.50", "inf", "nan"]
    assert setting_label("flow", 0.80) == "flow τ=0.8"
    assert setting_label("bicubic", math.nan) == "bicubic"


def test_everything_needed_to_repeat_it_is_said(run):
    text = report(run)
    for said in (
        "# Super-resolution 4x: bicubic, flow",
        "- **PSNR ↑** in dB: uint8 RGB\n- **LPIPS ↓**: AlexNet\n",
        "- Data: `trees`, 6 pictures\n- LR: made from HR\n- Seed: 7\n",
        "2 a picture, at temperature 0.5, 0.9\n",
        "| flow    | CC0-1.0 | 90 pictures \\| CPU | `" + WEIGHTS["sha256"] + "` |  1,234,567 |",
        "| flow τ=0.9 |       2 |                 0.50 |                   0.25 |             105 |",
        "- Machine: cpu abacus, threads 1\n- Software: torch 2.9\n- Measured: 2026-01-31T12:00:00+00:00 to ",
        "```sh\nsrbench run --models bicubic,flow --scale 4\n```\n",
    ):
        assert said in text
    assert "\n> " not in text, "nothing is missing, so nothing is warned of"


def test_part_of_a_data_set_is_said(tmp_path):
    data = {"name": "trees", "names": NAMES, "limit": 6, "crop": 96, "lr": "made from HR"}
    text = report(write_run(tmp_path, all_rows(), dataset=data))
    assert "- Data: `trees`, 6 pictures, **the first 6 only**, **the central 96 x 96 of each**\n" in text


def test_missing_rows_are_said(tmp_path):
    rows = [r for r in all_rows() if (r.model, r.temperature, r.image) != ("flow", 0.5, "cedar")]
    text = report(write_run(tmp_path, rows, failures=["flow-t0.5: cedar: too wild"]))
    assert "> The means are not over the same pictures and cannot be compared." in text
    assert "Measured of 6: bicubic 6, flow τ=0.5 5, flow τ=0.9 6." in text
    assert "> Failed: flow-t0.5: cedar: too wild\n" in text
    assert table_lines(text)["flow τ=0.5"][-1] == "5"


def test_equal_counts_of_different_pictures_are_not_taken_for_the_same(tmp_path):
    rows = [row("bicubic", None, 0), row("flow", 0.5, 1), row("flow", 0.9, 0)]
    assert "not over the same pictures" in report(write_run(tmp_path, rows))


def test_a_model_without_any_row_is_said(tmp_path):
    rows = [r for r in all_rows() if r.model == "bicubic"]
    assert "Measured of 6: flow 0, bicubic 6." in report(write_run(tmp_path, rows))


def test_a_run_that_is_half_done_says_so(tmp_path):
    rows = [r for r in all_rows() if r.image in NAMES[:2]]
    text = report(write_run(tmp_path, rows, finished=None))
    assert "> Not all of the 6 pictures are measured: bicubic 2, flow τ=0.5 2, flow τ=0.9 2." in text
    assert "not over the same" not in text
    assert "(unfinished)" in text


def test_infinite_values_are_counted(tmp_path):
    rows = all_rows()
    rows[0] = row("bicubic", None, 0, values={"psnr": [math.inf], "lpips": [0.4], "sigma": 0.0})
    text = report(write_run(tmp_path, rows))
    assert "no mean and keeps its row from being marked in that column: 1 of bicubic.\n" in text
    assert table_lines(text)["bicubic"][0] == "23.00"


def test_strips_show_every_model_at_one_temperature(run):
    text = report(run)
    assert sorted(path.stem for path in (run / "strips").iterdir()) == NAMES
    assert [name for name in NAMES if f"![{name}](strips/" in text] == ["birch", "daisy", "fir leaf"]
    assert "![fir leaf](strips/fir%20leaf.png)" in text
    sheet = np.asarray(Image.open(run / "strips" / "daisy.png"))
    panels = sheet[16 + 46 + 246 + 120 :: 46 + 240 + 6 + 240 + 24, 16 + 120 :: 252][:2, :3]
    expected = [[10, 60, 120], [150, 250, 255]]  # LR, bicubic, flow at 0.9 | its second sample, HR, nothing
    assert (panels == np.array(expected)[..., None]).all()


def test_strips_of_other_pictures_are_removed(run):
    write_report([run])
    rows = [r for r in all_rows() if r.image in NAMES[:1]]
    text = report(write_run(run, rows))
    assert [path.name for path in (run / "strips").iterdir()] == ["apple.png"]
    assert text.count("](strips/") == 1 < EMBEDDED
    assert not list((run / "sheets").glob("birch*"))
    assert not list((run / "maps").rglob("birch*"))


def test_samples_made_elsewhere_are_shown_too(run):
    """A folder of results has no temperature, and may hold several samples of a picture."""
    for sample, level in enumerate((70, 80)):
        path = run / "images" / "bicubic" / f"apple_sample{sample}.png"
        Image.new("RGB", (24, 24), (level,) * 3).save(path)
    several = {"psnr": [20.0, 21.0], "lpips": [0.4, 0.4], "sigma": 5.0}
    write_report([write_run(run, [row("bicubic", None, 0, samples=2, values=several)])])
    sheet = np.asarray(Image.open(run / "strips" / "apple.png"))
    assert sheet[16 + 46 + 246 + 120, 16 + 120 :: 252][:4, 0].tolist() == [10, 70, 80, 250]


def test_a_picture_that_was_not_saved_leaves_no_panel(run):
    (run / "images" / "flow-t0.9" / "daisy_sample1.png").unlink()
    write_report([run])
    with Image.open(run / "strips" / "daisy.png") as sheet:
        assert sheet.width == 2 * 16 + 4 * 240 + 3 * 12
    for path in (run / "images" / "hr").iterdir():
        path.unlink()
    assert "## Pictures" not in report(run)


def test_the_same_run_gives_the_same_bytes(run, with_plots):
    measured = set(run.rglob("*"))

    def written():
        write_report([run])
        return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path not in measured}

    assert written() == written()
    assert not [path for path in run.rglob(".*")], "no temporary file is left"


def test_plots_are_embedded(run, with_plots):
    text = report(run)
    embedded = re.findall(r"\]\(plots/(.*)\)\n\n\*\*", text)
    assert embedded == ["plane.svg", "temperature.svg", "distributions.svg", "speed.svg"]
    assert all((run / "plots" / name).exists() for name in embedded)


def test_maps_and_sample_grids(run):
    report(run)
    maps = {str(path.relative_to(run / "maps")) for path in (run / "maps").rglob("daisy*")}
    settings = ["bicubic", "flow-t0.5", "flow-t0.9"]
    assert maps == {f"{setting}/daisy_error.png" for setting in settings} | {
        f"{setting}/daisy_deviation.png" for setting in settings[1:]
    }, "24 pixels are too few for LPIPS"
    with Image.open(run / "maps" / "flow-t0.5" / "daisy_error.png") as picture:
        assert (picture.mode, set(np.asarray(picture).flat)) == ("P", {255}), "160 grey levels off: saturated"
    with Image.open(run / "maps" / "flow-t0.5" / "daisy_deviation.png") as picture:
        assert set(np.asarray(picture).flat) == {round(30 / 2**0.5 / 32 * 255)}
    grid = np.asarray(Image.open(run / "grids" / "flow-t0.5" / "daisy.png"))
    assert grid[16 + 46 + 246 + 120, 16 + 120 :: 252][:, 0].tolist() == [10, 90, 120, 250]


HOSTILE = "<img src=x onerror=alert(1)>", "a|b_c*d`e$f$", "[x](y) & # 100%"


def test_names_of_users_stay_text(make_run):
    first, second, third = HOSTILE
    run = make_run("run", {(second, None): {first: (20.0, 0.1), third: (21.0, 0.2)}, ("flow", 0.8): {
        first: ([20.0] * 2, [0.1] * 2), third: ([21.0] * 2, [0.2] * 2)}})  # fmt: skip
    write_report([run])
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render((run / "report.md").read_text())
    known = set("h1 h2 p em strong u ul li table thead tbody tr th td img pre code blockquote".split())  # noqa: SIM905
    assert set(re.findall(r"<(\w+)", html)) <= known
    shown = unescape(re.sub("<[^>]*>", "", html))
    assert second in shown
    pictures = [unescape(source) for source in re.findall(r'src="([^"]*)"', html)]
    assert len(pictures) == 4
    assert all((run / unquote(source)).exists() for source in pictures)
    assert set(map(unescape, re.findall(r'alt="([^"]*)"', html))) >= {first, third}


def test_only_planned_rows_count(run):
    manifest = json.loads((run / "manifest.json").read_text())
    write_run(run, all_rows(), keys=[key for key in manifest["keys"] if "0.9" not in key])
    assert len(read_rows(run)) == 12
    assert "flow τ=0.9" not in report(run)


def test_the_terminal_shows_the_same_table(run):
    console = Console(width=80, force_terminal=True, color_system="standard", _environ={})
    with console.capture() as capture:
        console.print(terminal_table(write_report([run], []).scores))
    text = capture.get()
    assert "\x1b[1m0.400\x1b[0m" in text, "best is bold"
    assert "\x1b[4m0.650\x1b[0m" in text, "second is underlined"
    assert "flow τ=0.9" in text
    assert all(word in text for word in ("PSNR", "LPIPS", "sigma", "↑", "↓"))


def test_a_folder_without_a_run_or_rows_is_named(tmp_path):
    with pytest.raises(SRBenchError, match="no run in it"):
        write_report([tmp_path])
    with pytest.raises(SRBenchError, match="nothing is measured"):
        write_report([write_run(tmp_path, [])])
    assert not (tmp_path / "report.md").exists()
