"""A report in a tracker: the numbers of the table with their intervals, the table, and one strip."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from srbench.machine.trackers import TRACKERS, TrackerError
from srbench.reporting.results import read_results
from srbench.reporting.tables.table import table_of_runs
from srbench.reporting.writers import trackers
from srbench.reporting.writers.trackers import log_report

IMAGES = "abcdefgh"


@pytest.fixture
def run(make_run, command):
    """Two models on eight images, one of which samples; a metric that one of them lacks."""
    flow = {name: (22.0 - place / 4, 0.2 + place / 50) for place, name in enumerate(IMAGES)}
    plain = {name: (21.0 + place / 8, 0.4 - place / 90) for place, name in enumerate(IMAGES)}
    return make_run("mine", {("plain+x", None): plain, ("flow", 0.8): flow})


@pytest.fixture
def numbers(run):
    table = table_of_runs(read_results([run]))
    found = {}
    for line in table.lines:
        for name, cell in line.cells.items():
            found[f"{name}/{line.setting.folder}"] = cell.mean
            found[f"{name}_low/{line.setting.folder}"] = cell.low
            found[f"{name}_high/{line.setting.folder}"] = cell.high
    assert len(found) == 12
    assert found["psnr_low/flow-t0.8"] < found["psnr/flow-t0.8"] < found["psnr_high/flow-t0.8"]
    return found


def test_tensorboard_gets_numbers_table_and_strip(run, command, numbers):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = command("report", run, "--log-with", "tensorboard")
    assert found.code == 0, found.err
    [folder] = Path("runs/tensorboard").iterdir()
    assert f"logged to tensorboard: {folder.name}" in found.err
    events = EventAccumulator(str(folder)).Reload()
    assert {name: events.Scalars(name)[0].value for name in events.Tags()["scalars"]} == pytest.approx(numbers)
    text = events.Tensors("table/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| plain+x" in text
    assert "| flow τ=0.8" in text
    [strip] = events.Images("strip")
    assert strip.width > 3 * 240
    assert command("report", run, "--log-with", "tensorboard").code == 0
    assert [*Path("runs/tensorboard").iterdir()] == [folder]


class Recorder:
    """What a tracker of Accelerate is called with."""

    def __init__(self):
        self.calls = []
        self.files = {}

    def log_artifacts(self, folder):
        self.files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}

    def __getattr__(self, name):
        return lambda *given, **more: self.calls.append((name, given))


@pytest.fixture
def logged(run, monkeypatch):
    """Log a run with a tracker that records; returns it and the name of the run."""

    def call(tracker):
        recorder = Recorder()
        started = {}
        accelerator = SimpleNamespace(
            trackers=[recorder],
            init_trackers=lambda project, init_kwargs: started.update(project=project, **init_kwargs[tracker]),
        )
        monkeypatch.setattr(trackers, "Accelerator", lambda **_: accelerator)
        monkeypatch.setattr(trackers, "require_tracker", lambda _: None)
        name = log_report([run], tracker)
        assert started["project"] == "srbench"
        assert name in started.values()
        assert recorder.calls[-1][0] == "finish"
        return recorder

    return call


def test_wandb_gets_numbers_table_and_strip(logged, numbers):
    (log, [values, _]), (table, [_, columns, rows]), (images, [strip, _]), _ = logged("wandb").calls
    assert (log, table, images) == ("log", "log_table", "log_images")
    assert values == numbers
    assert columns == ["model", "PSNR ↑", "LPIPS ↓", "n"]
    assert rows[0] == ["plain+x", "21.44", "0.361", "8"]
    assert len(strip["strip"]) == 1


def test_trackio_gets_numbers_table_and_strip(logged, numbers, monkeypatch):
    stand_in = SimpleNamespace(Image=np.asarray, Table=lambda dataframe: dataframe)
    monkeypatch.setitem(sys.modules, "trackio", stand_in)
    [(_, [values, _]), _] = logged("trackio").calls
    assert list(values.pop("table")["model"]) == ["plain+x", "flow τ=0.8"]
    assert values.pop("strip").shape[1] > 3 * 240
    assert values == numbers


def test_mlflow_gets_names_that_it_accepts(logged, numbers):
    recorder = logged("mlflow")
    [(_, [values, _]), _] = recorder.calls
    assert values == {name.replace("+", " plus "): value for name, value in numbers.items()}
    rows = list(csv.DictReader(recorder.files["table.csv"].decode().splitlines()))
    assert [float(row["psnr"]) for row in rows] == [numbers["psnr/plain+x"], numbers["psnr/flow-t0.8"]]
    assert recorder.files["strip.png"].startswith(b"\x89PNG")
    with pytest.raises(TrackerError, match="equal names"):
        trackers._mlflow(Recorder(), {"psnr/a(": 1.0, "psnr/a_": 2.0}, None, None, None)


def test_a_run_without_images_is_logged_without_a_strip(logged, run):
    for image in (run / "images").rglob("*.png"):
        image.unlink()
    assert [name for name, _ in logged("wandb").calls] == ["log", "log_table", "finish"]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_missing_tracker_is_a_line_before_anything_is_written(run, refused, tracker, monkeypatch):
    monkeypatch.setattr("srbench.machine.trackers.find_spec", lambda name: None)
    says = f"--log-with {tracker} needs the package {tracker}; pip install {tracker}$"
    refused(f"report mine --log-with {tracker}", says, kept=["mine"])


def test_a_folder_of_runs_is_not_logged(run, refused):
    refused("report . --log-with wandb", "--log-with goes with runs", 2, kept=["mine"])


def test_a_tracker_that_fails_leaves_the_report(run, command, monkeypatch):
    def fail(*_, **__):
        raise ValueError("api_key not\nconfigured")

    monkeypatch.setattr(trackers, "Accelerator", fail)
    monkeypatch.setattr("srbench.machine.trackers.find_spec", lambda name: name)
    found = command("report", run, "--log-with", "wandb")
    assert found.code == 1
    last = found.err.splitlines()[-1]
    assert last.startswith("srbench: --log-with wandb: api_key not")
    assert last.endswith("configured; the report itself is written")
    assert (run / "report" / "report.html").is_file()
