"""Jobs by submitit: on this machine in its local executor, as on Slurm but for Slurm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import srbench.matrix.slurm
from srbench.benchmark.run import run
from srbench.benchmark.verify import verify
from srbench.matrix import MatrixError
from srbench.matrix.slurm import run_on_slurm

pytest.importorskip("submitit")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(srbench.matrix.slurm, "EVERY", 0.05)


def test_the_same_rows_as_without(spec, results, tmp_path):
    """Slurm replaced by the debug executor, which does the jobs in this process."""
    steps = []
    spec = replace(spec, out=str(tmp_path / "jobs"))
    outcome = run_on_slurm(spec, "slurm:cluster=debug", 3, steps.append)
    serial = run(replace(spec, out=str(tmp_path / "serial")))
    assert results(tmp_path / "jobs") == results(serial.folder)
    assert (outcome.items, outcome.sampled, outcome.scored) == (serial.items, serial.sampled, serial.scored)
    assert sorted(outcome.failures) == sorted(serial.failures)
    assert [(step.done, step.total) for step in steps] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert verify(tmp_path / "jobs").holds
    with pytest.raises(MatrixError, match=r"jobs: already exists; choose another --out and combine both with"):
        run_on_slurm(spec, "slurm:cluster=debug", 3)


def test_jobs_in_processes_of_their_own(spec, tmp_path, command):
    words = ["--models", spec.models[0], "--scale", 4, "--data", spec.data, "--metrics", "psnr", "--limit", 2]
    done = command("run", *words, "--engine", "slurm:cluster=local", "--workers", 2, "--out", "jobs")
    assert done.code == 0, done.err
    assert "jobs/report/report.md" in done.out
    assert command("verify", "jobs").code == 0
    assert [path.name for path in sorted(Path("jobs.shards").iterdir())] == ["1-of-2", "2-of-2", "jobs"]


def test_a_job_that_fails_is_one_line_and_resumed(spec, models, tmp_path):
    good = models.read_text()
    models.write_text("broken(")
    spec = replace(spec, models=spec.models[:1], out=str(tmp_path / "jobs"), limit=2)
    with pytest.raises(MatrixError) as caught:
        run_on_slurm(spec, "slurm:cluster=debug", 2)
    [line] = str(caught.value).splitlines()
    assert line.startswith("Slurm job ")
    assert "models.py" in line
    assert line.endswith("Finished work is kept. Rerun the same command to resume.")
    assert not (tmp_path / "jobs").exists()
    models.write_text(good)
    assert run_on_slurm(spec, "slurm:cluster=debug", 2).sampled == 2


@pytest.mark.parametrize(
    ("engine", "error"),
    [
        ("slurm", r"^slurm: cannot submit jobs \(.*srun"),
        ("slurm:cluster=nowhere", r"^slurm:cluster=nowhere: cannot submit jobs \(.*nowhere"),
        ("slurm:cluster=local,nonsense=1", r": cannot submit jobs \(.*nonsense"),
    ],
)
def test_jobs_that_cannot_be_submitted(spec, engine, error, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MatrixError, match=error):
        run_on_slurm(spec, engine, 2)


def test_what_it_needs_is_said(command):
    words = ["run", "--models", "bicubic", "--scale", 4, "--engine", "slurm"]
    done = command(*words, "--out", "here")
    assert (done.code, done.err) == (
        2,
        "srbench: --engine slurm needs --workers N: how many jobs. See srbench run --help.\n",
    )
    done = command(*words, "--workers", 2)
    assert done.code == 1
    assert "the jobs need a folder that all machines share; name it with --out" in done.err
