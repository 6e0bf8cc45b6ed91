"""Committed reports are read, every line names its environment, and samples are kept and counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from srbench.benchmark.run import run
from srbench.files.hashes import sha256_file
from srbench.images.io import write_png
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.measurements import measurements_of
from srbench.run_folder.records import EnvironmentRecord, digest
from srbench.verification.verify import verify

REPORTS = Path(__file__).parents[3] / "reports"


def test_a_folder_whose_requests_are_only_command_lines_goes_on(finished, spec):
    path = finished / "manifest.json"
    facts = json.loads(path.read_text())
    for invocation in facts["invocations"]:
        del invocation["request"]
    before = sha256_file(path)
    path.write_text(json.dumps(facts, indent=1) + "\n")
    sums = finished / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(before, sha256_file(path)))
    assert len(measurements_of(RunFolder.read(finished))) == 9
    assert (run(spec).sampled, run(spec).scored) == (0, 0)
    assert {finding.rule for finding in verify(finished, resample="all").findings} == {"request-unknown"}
    assert run(replace(spec, limit=4)).sampled == 3
    assert verify(finished, resample="all").proven


def test_every_line_names_its_environment(finished):
    lines = [json.loads(line) for line in (finished / "environments.jsonl").read_text().splitlines()]
    [record] = (EnvironmentRecord(**line) for line in lines)
    assert record.key == digest("environment", record.facts)
    assert record.facts["device"] == "cpu"
    assert {"cpu", "threads", "torch", "numpy"} <= set(record.facts)
    every = RunFolder.read(finished).lines()
    assert {line.environment for line in every} == {record.key}
    assert "environments.jsonl" in (finished / "SHA256SUMS").read_text()


def test_another_environment_is_another_record(finished, changed, monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    run(changed(limit=4))
    folder = RunFolder.read(finished)
    assert [one.facts.get("MKL_CBWR") for one in folder.environments.values()] == [None, "COMPATIBLE"]
    first, last = folder.environments
    by_subject = {getattr(line, "subject", None) or line.image: line.environment for line in folder.lines()}
    assert by_subject["a"] == first
    assert by_subject["d"] == last


def test_a_suite_of_more_than_five_samples_keeps_them_all(changed, models, photos, draw_image):
    write_png(photos / "a.png", draw_image(0, 64, 72))
    many = {"models": (f"noisy={models}:Noisy",), "temperature": (0.8,), "limit": 1}
    metrics = ("lpips_spatial", "lr_psnr_worst", "diversity")
    folder = run(changed(**many, suite="ntire21", metrics=metrics, samples=10)).folder
    assert read_manifest(folder).protocol.kept == 10
    assert len(list((folder / "images" / "noisy-t0.8").glob("a_sample*.png"))) == 10
    found = verify(folder)
    assert (found.holds, found.verified, found.unverified) == (True, 3, 0)


WILD = """
class Wild:
    scale = 4

    def sample(self, lr, n, *, temperature, generator):
        images = lr.new_zeros(n, 3, 4 * lr.shape[1], 4 * lr.shape[2])
        images[0, 0, 0, 0], images[1, 0, 0, 0], images[2, 2, 3, 3] = 1.6, -0.4, -0.6
        return images
"""


def test_outliers_are_counted(changed, tmp_path):
    (tmp_path / "wild.py").write_text(WILD)
    request = changed(models=(f"wild={tmp_path / 'wild.py'}:Wild",), temperature=(1.0,), limit=1, samples=4)
    folder = RunFolder.read(run(replace(request, metrics=("psnr",))).folder)
    [record] = folder.of("a").samples.values()
    assert record.outliers == 2
