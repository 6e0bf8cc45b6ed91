"""Whole runs, small: killed, repeated, resumed, with bad pictures among good ones."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from srbench.datasets import Folder
from srbench.images import quantize_floor, read_image, write_png
from srbench.manifest import read_manifest
from srbench.plan import RunSpec
from srbench.registry import load_metric
from srbench.results import read_rows
from srbench.run import RunError, run


@pytest.fixture
def spec(photos, models, tmp_path):
    return RunSpec(
        models=(f"{models}:Nearest", f"{models}:Noisy"), scale=4, data=str(photos), metrics=("psnr", "sigma"),
        temperatures=(0.0, 0.8), samples=3, out=str(tmp_path / "run"),
    )  # fmt: skip


def text(run_folder):
    return (Path(run_folder) / "rows.jsonl").read_text()


def test_rows_hold_what_the_metrics_say(spec, photos):
    outcome = run(spec)
    assert (outcome.folder, outcome.measured, outcome.failures) == (Path(spec.out), 12, ())
    rows = read_rows(outcome.folder)
    assert [(row.image, row.model, row.temperature, row.samples) for row in rows[:4]] == [
        ("a", "Nearest", None, 1),
        ("a", "Noisy", 0.0, 3),
        ("a", "Noisy", 0.8, 3),
        ("b", "Nearest", None, 1),
    ]
    pair = Folder(photos, 4).read("b")
    nearest = pair.lr.repeat_interleave(4, 1).repeat_interleave(4, 2)[None]
    assert rows[3].values == {"psnr": load_metric("psnr")(nearest, pair).tolist(), "sigma": 0.0}
    noisy = rows[2].values
    assert len(set(noisy["psnr"])) == 3
    assert 15 < noisy["sigma"] < 25, "0.08 of 255 is 20.4"
    assert rows[1].values["sigma"] == 0
    assert all(row.model_seconds >= 0 and row.metric_seconds > 0 and row.peak_memory_mb > 0 for row in rows)


def test_pictures_are_saved_as_they_were_measured(spec, photos):
    images = run(spec).folder / "images"
    pair = Folder(photos, 4).read("b")
    assert torch.equal(read_image(images / "hr" / "b.png"), pair.hr)
    assert torch.equal(read_image(images / "lr" / "b.png"), pair.lr)
    saved = sorted(str(path.relative_to(images)) for path in images.rglob("a*.png"))
    assert saved == [
        "Nearest/a.png",
        *(f"Noisy-{temperature}/a_sample{sample}.png" for temperature in ("t0.8", "t0") for sample in range(3)),
        "hr/a.png",
        "lr/a.png",
    ]
    row = next(row for row in read_rows(Path(spec.out)) if (row.image, row.temperature) == ("b", 0.8))
    again = load_metric("psnr")(read_image(images / "Noisy-t0.8" / "b_sample1.png")[None], pair)
    assert again.item() == row.values["psnr"][1]


def test_a_finished_run_has_nothing_to_do(spec, capsys):
    run(spec)
    rows, manifest = text(spec.out), (Path(spec.out) / "manifest.json").read_text()
    capsys.readouterr()
    assert run(spec).measured == 0
    assert "nothing to do: all 12 items are measured" in capsys.readouterr().err
    assert text(spec.out) == rows
    assert (Path(spec.out) / "manifest.json").read_text() == manifest


def test_one_seed_one_result(spec, tmp_path, rows_of):
    run(spec)
    run(replace(spec, out=str(tmp_path / "again")))
    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "run")
    run(replace(spec, out=str(tmp_path / "other"), seed=1))
    values = [[row.values["psnr"] for row in read_rows(tmp_path / folder)] for folder in ("run", "other")]
    same = [one == other for one, other in zip(*values, strict=True)]
    assert same == [True, True, False] * 4, "noise at temperature 0.8 alone depends on the seed"


def test_order_and_company_do_not_change_a_sample(spec, tmp_path):
    run(spec)
    run(replace(spec, models=(f"renamed={spec.models[1]}",), metrics=("psnr",), temperatures=(0.8,), limit=2,
                out=str(tmp_path / "alone")))  # fmt: skip
    alone = {row.image: row.values["psnr"] for row in read_rows(tmp_path / "alone")}
    together = {row.image: row.values["psnr"] for row in read_rows(Path(spec.out)) if row.temperature == 0.8}
    assert alone == {image: together[image] for image in ("a", "b")}


@pytest.mark.parametrize("torn", ["", '{"key": "12', '{"key": "12"}'])
def test_a_torn_run_is_completed(spec, tmp_path, rows_of, torn):
    run(spec)
    lines = text(spec.out).splitlines(keepends=True)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "rows.jsonl").write_text("".join(lines[:5]) + torn)
    assert run(replace(spec, out=str(tmp_path / "torn"))).measured == 7
    assert rows_of(tmp_path / "torn") == rows_of(tmp_path / "run")


def start_slow(spec, models, folder):
    options = f"--scale 4 --data {spec.data} --metrics psnr --temperature 0.5,0.8 --samples 2 --out {folder}"
    command = [sys.executable, "-m", "srbench", "run", "--models", f"{models}:Slow", *options.split()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    rows = folder / "rows.jsonl"
    deadline = time.monotonic() + 60
    while not rows.exists() or rows.read_text().count("\n") < 3:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_killed_in_the_middle_the_same_command_completes_it(spec, models, tmp_path, rows_of):
    process = start_slow(spec, models, tmp_path / "killed")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = text(tmp_path / "killed").count("\n")
    assert 3 <= kept < 8
    same = RunSpec(models=(f"{models}:Slow",), scale=4, data=spec.data, metrics=("psnr",), temperatures=(0.5, 0.8),
                   samples=2, out=str(tmp_path / "killed"))  # fmt: skip
    assert run(same).measured == 8 - kept
    run(replace(same, out=str(tmp_path / "whole")))
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "whole")
    manifests = [read_manifest(tmp_path / folder) for folder in ("killed", "whole")]
    assert manifests[0]["keys"] == manifests[1]["keys"]
    assert all(manifest["finished"] for manifest in manifests)


def test_interrupted_it_says_so_in_one_line(spec, models, tmp_path):
    process = start_slow(spec, models, tmp_path / "interrupted")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == (
        "srbench: interrupted; finished work is kept, and the same command goes on from there"
    )
    assert "Traceback" not in err
    assert out == ""
    assert text(tmp_path / "interrupted").endswith("\n")
    assert read_manifest(tmp_path / "interrupted")["finished"] is None


def test_bad_pictures_among_good_ones(spec, photos, capsys):
    content = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(content[: len(content) // 2])
    (photos / "text.png").write_text("this is no picture")
    outcome = run(spec)
    assert outcome.measured == 9
    assert [failure.partition(": ")[0] for failure in outcome.failures] == [
        str(photos / "b.png"),
        str(photos / "text.png"),
    ], "each is named once, not once a model"
    err = capsys.readouterr().err
    assert f"failed: {photos / 'b.png'}: damaged picture" in err
    assert f"failed: {photos / 'text.png'}: not a picture" in err
    assert read_manifest(outcome.folder)["failures"] == list(outcome.failures)
    (photos / "b.png").write_bytes(content)
    (photos / "text.png").unlink()
    repaired = run(spec)
    assert (repaired.measured, repaired.failures) == (3, ())


def test_a_result_that_is_not_finite_is_named(spec, models, photos):
    write_png(photos / "flat.png", torch.full((3, 32, 32), 99, dtype=torch.uint8))
    outcome = run(replace(spec, models=(f"{models}:NotFinite", f"{models}:Nearest")))
    assert outcome.measured == 9
    assert len(outcome.failures) == 1
    assert outcome.failures[0].startswith("NotFinite: flat: 3072 of 3072 numbers of the result are not finite")


def test_sizes_that_do_not_fit_are_named_and_the_others_measured(spec, photos, tmp_path):
    for name in "acd":
        hr = quantize_floor(read_image(photos / f"{name}.png"))
        write_png(tmp_path / "hr" / f"{name}.png", hr)
        write_png(tmp_path / "lr" / f"{name}.png", hr[:, ::4, ::4] if name != "c" else hr)
    outcome = run(replace(spec, data=None, hr=str(tmp_path / "hr"), lr=str(tmp_path / "lr")))
    assert outcome.measured == 6
    assert outcome.failures[0].startswith("c: HR of 40x32 is not 4 times LR of 40x32")


def test_a_folder_of_results_is_measured(spec, photos, tmp_path):
    for name in "abc":
        whole = np.array(Image.open(photos / f"{name}.png"))
        side = [length // 4 * 4 for length in whole.shape[:2]]
        array = whole[: side[0], : side[1]] if name != "c" else whole[:8, :8]
        (tmp_path / "theirs").mkdir(exist_ok=True)
        Image.fromarray(array).save(tmp_path / "theirs" / f"{name}.png")
    outcome = run(replace(spec, models=(f"theirs={tmp_path / 'theirs'}",)))
    assert outcome.measured == 2
    rows = read_rows(outcome.folder)
    assert [(row.temperature, row.values["psnr"]) for row in rows] == [(None, [float("inf")])] * 2
    assert '"psnr": ["inf"]' in text(spec.out), "JSON has no infinity"
    assert "no result named d" in outcome.failures[0]
    assert "c: the result has shape (1, 3, 8, 8), HR is 40x32" in outcome.failures[1]


def test_two_commands_share_a_folder(spec):
    run(spec)
    fewer = replace(spec, models=spec.models[:1], seed=3)
    assert run(fewer).measured == 4
    assert [row.seed for row in read_rows(Path(spec.out))] == [3] * 4, "the report is of the last command alone"
    assert run(spec).measured == 0
    assert len(read_rows(Path(spec.out))) == 12


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_a_folder_that_cannot_be_written(spec, tmp_path, place):
    (tmp_path / "file").touch()
    out = tmp_path / "file" if place == "a file" else tmp_path / "file" / "run"
    with pytest.raises(RunError, match=r"file.*: cannot be written .* choose another --out"):
        run(replace(spec, out=str(out)))


def test_the_folder_is_named_after_day_models_and_scale(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unnamed = replace(spec, out=None)
    folder = run(unnamed).folder
    day, _, rest = folder.name.partition("-Nearest")
    assert (folder.parent, rest) == (Path("runs"), "-Noisy-x4")
    assert time.strptime(day, "%Y-%m-%d")
    yesterday = folder.rename(folder.with_name("2001-02-03-Nearest-Noisy-x4"))
    again = run(unnamed)
    assert (again.folder, again.measured) == (yesterday, 0), "a run goes on after midnight"
    assert run(replace(unnamed, seed=5)).folder == folder, "another run is another folder"


def test_a_metric_that_fails_or_is_not_defined(spec, monkeypatch):
    import srbench.plan

    def metric(answer):
        class Metric:
            name, title, higher_is_better, unit, digits, protocol = "m", "M", True, "", 1, "none"

            def __call__(self, samples, pair):
                return answer(pair)

        return Metric()

    def undefined(pair):
        return torch.tensor([float("nan") if pair.name == "a" else 1.0])

    def failing(pair):
        raise ValueError("too small" if pair.name == "b" else "no")

    monkeypatch.setattr(srbench.plan, "load_metric", lambda name: metric(undefined))
    outcome = run(replace(spec, models=spec.models[:1]))
    assert outcome.measured == 3
    assert outcome.failures == ("Nearest: a: m is not defined for this picture (NaN); leave one of them out",)
    monkeypatch.setattr(srbench.plan, "load_metric", lambda name: metric(failing))
    outcome = run(replace(spec, models=spec.models[:1], out=spec.out + "2"))
    assert outcome.measured == 0
    assert outcome.failures[1] == "Nearest: b: m failed: ValueError: too small"


def test_the_manifest_says_what_was_run(spec):
    manifest = read_manifest(run(spec).folder)
    assert manifest["command"].startswith("srbench run --models ")
    assert manifest["spec"] == json.loads(json.dumps(spec.facts()))
    assert manifest["suite"] == "srflow@1"
    assert manifest["dataset"]["names"] == ["a", "b", "c", "d"]
    assert [metric["name"] for metric in manifest["metrics"]] == ["psnr", "sigma"]
    assert [model["label"] for model in manifest["models"]] == ["Nearest", "Noisy"]
    assert manifest["software"]["torch"] == torch.__version__
    assert manifest["hardware"]["device"] == "cpu"
    assert len(manifest["keys"]) == 12
    assert manifest["started"] <= manifest["finished"]
