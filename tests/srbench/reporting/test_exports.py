"""Results of a run in the formats of others: every value with all its digits, and none beside one of other data."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace

import huggingface_hub
import pytest
import yaml
from builders import metric, protocol

from srbench.data import MATLAB_BICUBIC
from srbench.interfaces import SRBenchError, WeightsInfo
from srbench.reporting import ReportError
from srbench.reporting.exports import _yaml, export_runs, task_name
from srbench.reporting.measurements import read_runs
from srbench.reporting.report import write_report

STARTED = {"started": "2026-01-31T12:00:00+00:00", "finished": "2026-01-31T12:10:00+00:00"}
METRICS = (metric("psnr"), metric("lpips"), metric("sigma"))
IMAGES = "abcdefgh"
FLOW = ("flow: <b>'m'", 0.8)


def values(seed):
    draw = random.Random(seed)
    return {
        image: {
            "psnr": [draw.uniform(20, 30), draw.uniform(20, 30)],
            "lpips": [draw.random() ** 20 * 1e-6, 1e-9],
            "sigma": draw.random(),
        }
        for image in IMAGES
    }


@pytest.fixture
def run(make_run):
    weights = WeightsInfo("0" * 64, "CC0-1.0", "a: b #c", 7)
    return make_run(
        "run",
        {FLOW: values(0), ("other", None): {one: (30.0 + ord(one), 0.1) for one in IMAGES}},
        metrics=METRICS,
        invocation=STARTED,
        models={FLOW[0]: {"weights": weights}},
    )


@pytest.fixture
def wanted(run):
    """Mean, low and high by folder of the setting and metric."""
    measurements = read_runs([run])
    rows = measurements.table().summary().to_dict("records")
    return {
        (folder, one.name): [row[f"{one.name}{end}"] for end in ("", "_low", "_high")]
        for folder, row in zip((f"{FLOW[0]}-t0.8", "other"), rows, strict=True)
        for one in METRICS
        if not math.isnan(row[one.name])
    }


def test_hugging_face_reads_every_value_from_eval_results(run, wanted, tmp_path):
    export = export_runs([run], tmp_path / "out", dataset="owner/data", url="https://example.org/run")
    found = {}
    for file in export.files:
        folder = file.relative_to(tmp_path / "out").parts[0]
        assert file.relative_to(tmp_path / "out" / folder).as_posix() == ".eval_results/run.yaml"
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
        if hasattr(huggingface_hub, "parse_eval_result_entries"):  # in later versions
            read = huggingface_hub.parse_eval_result_entries(entries)
            assert huggingface_hub.eval_result_entries_to_yaml(read) == entries
        for entry in entries:
            assert entry.keys() == {"dataset", "value", "date", "source", "notes"}
            assert entry["dataset"].keys() == {"id", "task_id"}
            assert entry["dataset"]["id"] == "owner/data"
            assert entry["source"] == {"url": "https://example.org/run", "name": "srbench run run"}
            assert entry["date"] == STARTED["finished"]
            signature = re.match(r"signature: (\S+);", entry["notes"])[1]
            assert "command: srbench run --models m --scale 4 --out run" in entry["notes"]
            found[folder, next(one.name for one in METRICS if one.signature == signature)] = entry["value"]
    assert found == {place: mean for place, (mean, *_) in wanted.items()}
    assert len(found) == 5


def test_numbers_and_texts_are_read_as_they_were():
    entries = [
        {"dataset": {"id": 'a: "b" #\u00fc'}, "value": value, "notes": "- [x]: 'y'\n"} for value in (1e-5, 1e20, -2.0)
    ]
    assert yaml.safe_load(_yaml(entries)) == entries


def test_a_second_export_changes_nothing_and_another_one_overwrites_nothing(run, make_run, tmp_path):
    files = export_runs([run], tmp_path / "hf-eval").files
    before = [file.stat().st_mtime_ns for file in files]
    assert export_runs([run], tmp_path / "hf-eval").files == files
    assert [file.stat().st_mtime_ns for file in files] == before
    make_run("run", {FLOW: values(1)}, metrics=METRICS, invocation=STARTED)
    kept = {file: file.read_bytes() for file in (tmp_path / "hf-eval").rglob("*") if file.is_file()}
    with pytest.raises(SRBenchError, match="exists with different contents; choose another --out"):
        export_runs([run], tmp_path / "hf-eval")
    assert kept == {file: file.read_bytes() for file in (tmp_path / "hf-eval").rglob("*") if file.is_file()}


def test_a_mean_over_fewer_images_is_left_out_and_named(make_run, tmp_path):
    measured = {"a": (20.0, 0.1), "b": (math.inf, 0.2), "c": (21.0, 0.3)}
    run = make_run("run", {("m", None): measured, ("n", None): {"a": (1.0, 0.4)}}, images="abc", invocation=STARTED)
    done = export_runs([run], tmp_path / "out")
    few = "finite on 1 of 3 images"
    assert done.left_out == ["PSNR of m: finite on 2 of 3 images", f"PSNR of n: {few}", f"LPIPS of n: {few}"]
    assert [file.relative_to(tmp_path / "out").parts[0] for file in done.files] == ["m"]
    assert done.files[0].read_text().count("value:") == 1
    with pytest.raises(ReportError, match="no value is a mean over all images yet; run its command again"):
        export_runs([make_run("other", {("n", None): {"a": (1.0, 0.4)}}, images="abc")], tmp_path / "out")


def test_what_a_value_depends_on_names_its_leaderboard():
    psnr, facts = metric("psnr"), protocol(lr=MATLAB_BICUBIC)
    tasks = [
        task_name(psnr, facts, "3"),
        task_name(psnr, replace(facts, scale=8), "3"),
        task_name(psnr, replace(facts, crop=160), "3"),
        task_name(psnr, replace(facts, lr="by JPEG"), "3"),
        task_name(psnr, facts, "2 of 3"),
        task_name(metric("psnr", signature="PSNR|Y"), facts, "3"),
    ]
    assert tasks[0] == "x4-psnr-rgb"
    assert len(set(tasks)) == len(tasks), tasks


def test_the_command_line_names_files_and_refuses_options_of_another_format(command, run):
    done = command("export", run, "--as", "hf-eval")
    assert done.code == 0
    assert "hf-eval/other/.eval_results/run.yaml" in done.out
    assert "left out: sigma of other: finite on 0 of 8 images" in done.err
    for options, text in (
        (("--as", "hf-eval", "--best"), "--best goes with --as weights."),
        (("--url", "x"), "--url goes with --as hf-eval."),
        (("--as", "weights", "--scale", "4"), "--scale goes with --as onnx."),
        (("--as", "onnx", "--temperature", "0"), "--temperature goes with --as weights."),
    ):
        found = command("export", run, *options)
        assert (found.code, text in found.err) == (2, True), found.err


def test_show_prints_what_a_readme_carries(command, run):
    found = command("show", run)
    assert found.code == 0
    lines = found.out.splitlines()
    assert lines[0] == "### Super-resolution 4x: 8 images of d"
    assert any(line.startswith("- Lowest LPIPS: flow") for line in lines)
    assert sum(line.startswith("| ") for line in lines) == 4, "header, rule and two rows"
    assert "srbench run --models m --scale 4 --out run" in lines
    assert "Protocol `srflow@1`: `PSNR|RGB`, `LPIPS|alex`, `SIGMA|ddof1`." in lines
    assert "The whole report" not in found.out
    write_report([run], ["md"])
    assert f"[The whole report]({run.as_posix()}/report/report.md)" in command("show", run).out
    assert command("show", run.parent).code == 1
