"""An index of many small runs: what shares a table, what is bold, what is left out, and the page in a browser."""

from __future__ import annotations

import csv
import json
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import metric
from record_runs import Made, write_run

from srbench.index.runs import read_runs_below
from srbench.index.tables import tables_of

IMAGES = tuple(f"i{number}" for number in range(9))
EASE = [float(number % 4) for number in range(9)]
SIGNATURES = {"psnr": ("PSNR|RGB|v1", "PSNR|Y|v1"), "lpips": ("LPIPS|alex|v1", "LPIPS|vgg|v1"), "ssim": ("SSIM|v1",)}
EVIL = "<script>alert(1)<:script>&"


def made(**levels):
    """A run of models whose PSNR differs by these levels on every image."""
    values = {label: {"psnr": [20 + level + ease for ease in EASE]} for label, level in levels.items()}
    return Made({image: f"pixels of {image}" for image in IMAGES}, values, (metric("psnr"),))


def tables_below(folder):
    return tables_of(read_runs_below([folder], folder)[0])


def labels(table):
    return [row.setting.label for row in table.rows]


def random_run(rng):
    """A run of random images, protocol, metrics and models; equal models give equal values for equal images."""
    source = rng.choice("AAB")
    pixels = {image: f"{source} {image}" for image in IMAGES[: rng.choice((9, 9, 8))]}
    names = rng.sample(sorted(SIGNATURES), rng.randint(1, 3))
    metrics = tuple(metric(name, signature=rng.choice(SIGNATURES[name])) for name in names)
    digests = {label: f"{label} {rng.choice('aab')}" for label in rng.sample(("m1", "m2", "m3"), rng.randint(1, 3))}
    values = {
        label: {
            one.name: [random.Random(f"{digest} {one.signature} {pixel}").gauss(20, 1) for pixel in pixels.values()]
            for one in metrics
        }
        for label, digest in digests.items()
    }
    protocol = {
        "scale": rng.choice((4, 4, 8)),
        "suite": rng.choice(("s@1", "s@1", "t@1")),
        "tile": rng.choice((None, 32)),
    }
    return Made(pixels, values, metrics, rng.choice("de"), protocol, digests)


def test_no_value_stands_beside_one_of_other_images_protocol_or_signature(tmp_path):
    merged = 0
    for number in range(10):
        rng = random.Random(number)
        known = {f"r{place}": random_run(rng) for place in range(8)}
        for name, run in known.items():
            write_run(tmp_path / str(number) / name, run)
        shown = []
        for table in tables_below(tmp_path / str(number)):
            pixels = {tuple(sorted(known[run.name].pixels.items())) for row in table.rows for run in row.runs}
            assert len(pixels) == 1
            for row in table.rows:
                merged += len(row.runs) > 1
                label = row.setting.model.partition(" @ ")[0]
                for run in row.runs:
                    stated = known[run.name].protocol
                    assert stated == {name: getattr(table.protocol, name) for name in stated}
                    assert known[run.name].digests[label] == row.model.digest
                    shown.append((run.name, label))
                for column, mean in zip(table.metrics, row.means, strict=True):
                    having = [known[run.name] for run in row.runs if column in known[run.name].metrics]
                    assert (mean.text != "") == bool(having)
                    for run in having:
                        assert mean.value == pytest.approx(np.mean(run.values[label][column.name]))
        assert sorted(shown) == sorted((name, label) for name, run in known.items() for label in run.values)
    assert merged


def test_bold_is_best_or_not_significantly_worse(tmp_path):
    run = made(a=3, b=2, c=3)
    for place in range(0, 9, 2):
        run.values["c"]["psnr"][place] -= 0.5  # c is worse than a on five images and equal on four
    write_run(tmp_path / "x", run)
    [table] = tables_below(tmp_path)
    assert [(row.setting.label, row.means[0].is_best) for row in table.rows] == [("a", True), ("c", True), ("b", False)]


def test_a_model_is_one_row_unless_its_values_differ(tmp_path):
    first, second, third = made(a=1, b=2), replace(made(a=1, c=3), dataset="e"), made(a=1)
    third.values["a"]["psnr"][4] += 0.01
    for name, run in {"x": first, "y": second, "z": third}.items():
        write_run(tmp_path / name, run)
    [table] = tables_below(tmp_path)
    assert table.datasets == ("d", "e")
    assert {row.setting.label: [run.name for run in row.runs] for row in table.rows} == {
        "c": ["y"],
        "b": ["x"],
        "a @ z": ["z"],
        "a @ x": ["x", "y"],
    }


def test_equal_labels_of_unlike_models_name_their_runs(tmp_path):
    write_run(tmp_path / "x", made(a=1))
    write_run(tmp_path / "y", replace(made(a=2), digests={"a": "another"}))
    [table] = tables_below(tmp_path)
    assert labels(table) == ["a @ y", "a @ x"]


def test_results_made_elsewhere_are_one_row_only_if_their_files_are_equal(tmp_path):
    """The digest of a folder of results is that of any other."""
    for name, (metric_name, source) in {"x": ("psnr", "1"), "y": ("ssim", "2"), "z": ("lpips", "1")}.items():
        run = made(theirs=1)
        run = replace(
            run, values={"theirs": {metric_name: run.values["theirs"]["psnr"]}}, metrics=(metric(metric_name),)
        )
        write_run(tmp_path / name, replace(run, source=source))
    [table] = tables_below(tmp_path)
    assert [[run.name for run in row.runs] for row in table.rows] == [["x", "z"], ["y"]]


@pytest.fixture
def site(tmp_path):
    """Runs of every state, one of them with hostile names, and what is no run."""
    runs = tmp_path / "runs"
    hostile = replace(made(**{"b": 2, "<b>": 1}), dataset="<i>d</i>", protocol={"scale": 8})
    for name, run in {
        "good": made(a=1),
        "edited": made(a=2),
        "wrong": made(a=3),
        "torn": made(a=4),
        EVIL: hostile,
    }.items():
        write_run(runs / name, run)
    write_run(runs / os.fsdecode(b"m\xfcnchen"), made(c=0))
    lacking = made(a=1, b=2)
    del lacking.values["b"]["psnr"]
    write_run(runs / "lacking", lacking)
    for name, verdict in {"good": "proven", "lacking": "unverified", "wrong": "contradicted"}.items():
        write_verified(runs / name, verdict, 0 if verdict == "contradicted" else 9)
    rows = runs / "edited" / "rows.jsonl"
    rows.write_text(rows.read_text().replace("22.0", "29.0", 1))
    (runs / "torn" / "manifest.json").write_text("{")
    (runs / "app").mkdir()
    (runs / "app" / "manifest.json").write_text('{"name": "an app"}')
    (runs / "bare").mkdir()
    (runs / "bare" / "rows.jsonl").write_text("{}\n")
    (runs / "notes").mkdir()
    return runs


def write_verified(run, verdict, verified):
    """Forge the result of a check, as anybody can."""
    from srbench.files.hashes import sha256_file

    facts = {"sums": sha256_file(run / "SHA256SUMS"), "date": "2026-01-31T12:00:00", "srbench": "0.1"}
    facts |= {"verdict": verdict, "verified": verified, "unverified": 0, "contradicted": 9 - verified}
    facts |= {"sampled": 0, "items": 9, "rules": {} if verified else {"value-differs": 9}, "tried": 0}
    (run / "verified.json").write_text(json.dumps(facts))


def test_states_and_what_is_left_out(site, command):
    done = command("index", site, "--out", "out")
    assert (done.code, done.out.splitlines()[0]) == (0, "4 runs in 2 tables; 6 left out"), done.err
    remarks = [line for line in done.err.splitlines() if line.startswith("left out: ")]
    left_out = dict(line.removeprefix("left out: ").split(": ", 1) for line in remarks)
    assert {Path(name.partition(",")[0]).name for name in left_out} == {
        "edited",
        "wrong",
        "torn",
        "app",
        "bare",
        "lacking",
    }
    assert left_out["edited"] == "contradicted: rows.jsonl does not match SHA256SUMS"
    assert left_out["wrong"] == "contradicted: 2026-01-31: 0 of 9 values and 0 of 9 items; value-differs"
    assert left_out["lacking, b"] == "not measured on all of 9 images"
    with Path("out/index.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {(line["model"], line["state"], line["mean"]) for line in lines} >= {
        ("a", "proven", str(np.mean([21 + ease for ease in EASE]))),
        ("c", "unverified", str(np.mean([20 + ease for ease in EASE]))),
    }


def test_a_state_is_the_verdict_of_verify(tmp_path):
    """A default check measures nearly all values again and says unverified."""
    for verdict in ("values proven from their images", "unverified", "proven"):
        write_verified(write_run(tmp_path / verdict, made(a=1)), verdict, 9)
    [table] = tables_below(tmp_path)
    [row] = table.rows
    assert [run.state for run in row.runs] == ["proven", "values proven from their images", "unverified"], "best first"
    assert {(run.name, run.state) for run in row.runs} == {(run.state, run.state) for run in row.runs}


def test_the_page_holds_names_as_text(site, command):
    assert command("index", site).code == 0
    assert command("index", site).code == 0, "an earlier index is replaced"
    text = (site / "index" / "index.html").read_text()
    assert "<script>alert" not in text
    assert "<i>d" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert str(site) not in text, "a page for others names no folder of this machine"


def test_folders_without_runs_a_run_and_files_of_the_user_are_refused(site, command):
    (site / "index").mkdir()
    (site / "index" / "mine.txt").write_text("mine")
    done = command("index", site)
    assert (done.code, "not made by srbench" in done.err) == (1, True)
    assert [file.name for file in (site / "index").iterdir()] == ["mine.txt"]
    done = command("index", site / "notes")
    assert (done.code, "no run in it" in done.err) == (1, True)
    done = command("index", site / "good")
    assert (done.code, "give its parent folder" in done.err) == (1, True)


@pytest.mark.slow
def test_the_page_asks_for_nothing_and_sorts(site, command, browser):
    assert command("index", site, "--out", "out").code == 0
    page, seen = browser.new_page(), []
    page.on("request", lambda request: seen.append(request.url))
    page.on("console", lambda message: seen.append(message.text))
    page.on("dialog", lambda dialog: seen.append(dialog.message))
    address = Path("out/index.html").absolute().as_uri()
    page.goto(address)
    rows = page.locator(".board").nth(1).locator("tbody th")
    first = rows.all_inner_texts()
    page.locator(".board").nth(1).get_by_role("button", name="PSNR").click()
    page.locator(".board").nth(1).get_by_role("button", name="PSNR").click()
    assert rows.all_inner_texts() == first[::-1]
    assert seen == [address]
