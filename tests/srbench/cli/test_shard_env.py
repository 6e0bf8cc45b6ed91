"""``--shard env``: each process of torchrun or Slurm measures its part,
and the merged parts are the run of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from srbench.machine import processes
from srbench.machine.launchers import Rank, launched_rank
from srbench.run_folder.manifest import read_manifest

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")


@pytest.fixture(autouse=True)
def outside_of_launchers(monkeypatch):
    """Without variables of a job in which the tests run, and without GPUs."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def request_of(photos, models, tmp_path):
    """Words of the command, with a model that samples."""
    named = f"bicubic,{models}:Noisy"
    measured = ("--metrics", "psnr,sigma", "--samples", "2", "--workers", "1")
    return ["run", "--models", named, "--scale", "4", "--data", str(photos), *measured]


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({"RANK": "0", "WORLD_SIZE": "1"}, Rank(0, 1, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Rank(5, 8, 1)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"}, Rank(3, 4, 1)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "2"}, Rank(2, 4, 2)),
        ({"RANK": "7", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, Rank(1, 2, 0)),
    ],
    ids=["one", "torchrun", "Slurm", "torchrun in a job of Slurm", "half of torchrun's"],
)
def test_the_rank_of_a_process(environment, rank):
    assert launched_rank(environment) == rank


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (
            {},
            "looked for RANK and WORLD_SIZE (set by torchrun) or SLURM_PROCID and SLURM_NTASKS (set by srun), but "
            "found neither pair; start srbench by one of them, or give I/N",
        ),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is '2' and WORLD_SIZE '2'; ranks go from 0 to WORLD_SIZE - 1"),
        (
            {"SLURM_PROCID": "-1", "SLURM_NTASKS": "2"},
            "SLURM_PROCID is '-1' and SLURM_NTASKS '2'; ranks go from 0 to SLURM_NTASKS - 1",
        ),
        ({"RANK": "", "WORLD_SIZE": "x"}, "RANK is '' and WORLD_SIZE 'x'; ranks go from 0 to WORLD_SIZE - 1"),
        (
            {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "zz"},
            "LOCAL_RANK is 'zz'; it is the rank on this machine, from 0",
        ),
    ],
    ids=["none", "outside", "negative", "no numbers", "no number on the machine"],
)
def test_without_a_rank_it_is_a_usage_error(command, request_of, monkeypatch, environment, says):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = command(*request_of, "--shard", "env", "--out", "parts")
    assert done.code == 2
    assert done.err.splitlines()[-1] == f"srbench: --shard env: {says}. See srbench run --help."
    assert not Path("parts").exists()


def merged_is_the_run(command, request_of, timeless):
    assert sorted(path.name for path in Path("parts").iterdir()) == ["1-of-2", "2-of-2"]
    assert command("merge", *Path("parts").iterdir(), "--out", "merged").code == 0
    assert command(*request_of, "--out", "whole").code == 0
    assert timeless(Path("merged")) == timeless(Path("whole"))


def test_tasks_of_slurm(command, request_of, monkeypatch, timeless):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    for rank in "10":
        monkeypatch.setenv("SLURM_PROCID", rank)
        done = command(*request_of, "--shard", "env", "--out", "parts")
        assert done.code == 0, done.err
        assert f"parts/{int(rank) + 1}-of-2: shard {int(rank) + 1}/2; combine all shards with srbench merge" in done.out
    [invocation] = read_manifest(Path("parts/2-of-2")).invocations
    assert invocation.command.endswith("--out parts/2-of-2 --shard 2/2"), "it can be repeated without Slurm"
    assert "nothing to do" in command(*request_of, "--shard", "env", "--out", "parts").err, "repeated, it resumes"
    merged_is_the_run(command, request_of, timeless)


@pytest.mark.slow
def test_processes_of_torchrun(command, request_of, timeless):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "srbench"]
    parts = ["--shard", "env", "--out", "parts"]
    done = subprocess.run([*torchrun, *request_of, *parts], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    merged_is_the_run(command, request_of, timeless)


def test_the_folders_of_a_file_and_of_a_matrix(command, request_of, monkeypatch):
    Path("bench.toml").write_text('out = "parts"\nlimit = 2\n')
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        words = [*request_of[:1], "bench.toml", *request_of[1:], "--suite", "srflow,classic-y", "--shard", "env"]
        done = command(*words)
        assert done.code == 0, done.err
    assert command("merge", "parts/1-of-2", "parts/2-of-2", "--out", "merged").code == 0
    for name in ("photos-x4-srflow", "photos-x4-classic-y"):
        assert read_manifest(Path("merged") / name).scope == ("a", "b")


@pytest.mark.parametrize(("workers", "taken"), [("1", "4"), ("gpus", "3,4")])
def test_every_process_takes_a_gpu_of_its_own(command, request_of, monkeypatch, workers, taken):
    """Unless its workers take all that it sees."""
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "3,4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "may_have_gpu", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    seen = []

    def requested_runs(bench, typed):
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        raise KeyboardInterrupt

    monkeypatch.setattr("srbench.benchmark.bench_file.requested_runs", requested_runs)
    command(*request_of[:-1], workers, "--shard", "env", "--out", "parts")
    assert seen == [taken]
