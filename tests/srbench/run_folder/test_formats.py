"""Run folders of earlier formats are read, extended and verified; what format 4 adds is written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from srbench.benchmark.run import run
from srbench.benchmark.verify import verify
from srbench.images.io import write_png
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.records import EnvironmentRecord, digest
from srbench.run_folder.results import rows_of
from srbench.weights.files import sha256_file

REPORTS = Path(__file__).parents[3] / "reports"
ADDED = ("environment", "runaway")
"""Fields that lines have since format 4."""


def as_format_3(run):
    """Rewrite a finished run as the srbench before wrote it."""
    facts = json.loads((run / "manifest.json").read_text())
    facts["format"] = 3
    del facts["protocol"]["kept"]
    for part in (*facts["models"], *facts["metrics"]):
        part.pop("evidence", None)
        if "signature" in part:
            part["signature"] = re.sub(r"\|n\d+$", "", part["signature"])
    (run / "manifest.json").write_text(json.dumps(facts, indent=1) + "\n")
    for name in ("pairs.jsonl", "samples.jsonl", "rows.jsonl"):
        lines = [json.loads(line) for line in (run / name).read_text().splitlines()]
        kept = [{key: value for key, value in line.items() if key not in ADDED} for line in lines]
        (run / name).write_text("".join(re.sub(r"\|n\d+(?=\")", "", f"{json.dumps(line)}\n") for line in kept))
    (run / "environments.jsonl").unlink()
    (run / ".manifest.json").unlink(missing_ok=True)
    names = [line.split("  ")[1] for line in (run / "SHA256SUMS").read_text().splitlines()]
    sums = [f"{sha256_file(run / name)}  {name}\n" for name in names if name != "environments.jsonl"]
    (run / "SHA256SUMS").write_text("".join(sums))


def test_a_run_of_format_3_is_read_and_goes_on(finished, spec, changed):
    as_format_3(finished)
    before = {file.name: file.read_bytes() for file in finished.glob("*.jsonl")}
    found = read_manifest(finished)
    assert (found.format, found.protocol.kept) == (4, 5)
    assert verify(finished).holds
    again = run(spec)
    assert (again.sampled, again.scored) == (0, 0)
    assert {file.name: file.read_bytes() for file in finished.glob("*.jsonl")} == before, "nothing to do"
    assert run(changed(limit=4)).sampled == 3
    assert json.loads((finished / "manifest.json").read_text())["format"] == 4
    records = [one for known in RunFolder.read(finished).known.values() for one in known.samples.values()]
    assert {(one.image == "d", one.environment != "", one.runaway) for one in records} == {
        (False, False, None), (True, True, 0),
    }  # fmt: skip
    assert verify(finished).holds


@pytest.mark.parametrize("name", ["photos-x4", "photos-x8"])
def test_committed_reports_are_read(name):
    folder = RunFolder.read(REPORTS / name)
    assert folder.manifest.protocol.kept == 5
    assert len(rows_of(folder)) == len(folder.manifest.settings) * len(folder.manifest.images)


def test_every_line_names_its_environment(finished):
    lines = [json.loads(line) for line in (finished / "environments.jsonl").read_text().splitlines()]
    [record] = (EnvironmentRecord(**line) for line in lines)
    assert record.key == digest("environment", record.facts)
    assert record.facts["device"] == "cpu"
    assert {"cpu", "threads", "torch", "numpy"} <= set(record.facts)
    every = [line for known in RunFolder.read(finished).known.values() for line in known.lines()]
    assert {line.environment for line in every} == {record.key}
    assert "environments.jsonl" in (finished / "SHA256SUMS").read_text()


def test_another_environment_is_another_record(finished, changed, monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    run(changed(limit=4))
    folder = RunFolder.read(finished)
    assert [one.facts.get("MKL_CBWR") for one in folder.environments.values()] == [None, "COMPATIBLE"]
    first, last = folder.environments
    assert {one.environment for one in folder.of("a").lines()} == {first}
    assert {one.environment for one in folder.of("d").lines()} == {last}


def test_a_suite_of_more_than_five_samples_keeps_them_all(changed, models, photos, draw_image):
    write_png(photos / "a.png", draw_image(0, 64, 72))
    many = {"models": (f"noisy={models}:Noisy",), "temperature": (0.8,), "limit": 1}
    metrics = ("lpips_spatial", "lr_psnr_worst", "diversity")
    folder = run(changed(**many, suite="ntire21", metrics=metrics, samples=10)).folder
    assert read_manifest(folder).protocol.kept == 10
    assert len(list((folder / "images" / "noisy-t0.8").glob("a_sample*.png"))) == 10
    found = verify(folder)
    assert (found.holds, found.verified, found.unverified) == (True, 3, 0)


def test_other_suites_keep_five(changed, models):
    folder = run(changed(models=(f"noisy={models}:Noisy",), temperature=(0.8,), limit=1, samples=7)).folder
    assert len(list((folder / "images" / "noisy-t0.8").glob("a_sample*.png"))) == 5


WILD = """
class Wild:
    scale = 4

    def sample(self, lr, n, *, temperature, generator):
        images = lr.new_zeros(n, 3, 4 * lr.shape[1], 4 * lr.shape[2])
        images[0, 0, 0, 0], images[1, 0, 0, 0], images[2, 2, 3, 3] = 1.6, -0.4, -0.6
        return images
"""


def test_samples_that_run_away_are_counted(changed, tmp_path):
    (tmp_path / "wild.py").write_text(WILD)
    request = changed(models=(f"wild={tmp_path / 'wild.py'}:Wild",), temperature=(1.0,), limit=1, samples=4)
    folder = RunFolder.read(run(replace(request, metrics=("psnr",))).folder)
    [record] = folder.of("a").samples.values()
    assert record.runaway == 2
