"""The job script of docs/training.md: stopped before its time limit, it returns to the queue and resumes."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.mark.slow
def test_a_job_that_is_stopped_is_requeued_and_resumes(trainings, tmp_path):
    """Two processes on a CPU in place of GPUs, and a scontrol that writes down what it is asked for."""
    [script] = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    for theirs, ours in {
        "torchrun": f"{sys.executable} -m torch.distributed.run",
        "--nproc-per-node 4": "--nproc-per-node 2",
        "srflow --preset df2k-x4": f"srflow --preset {trainings.path / 'srflow.toml'} --set training.steps=100000",
        "--data df2k/train": f"--data {trainings.path / 'data'}",
        "--start runs/rrdb": f"--start {trainings.path / 'start'} --set training.validate_every=100000",
        "--device cuda": "--device cpu",
    }.items():
        assert script.count(theirs) == 1, theirs
        script = script.replace(theirs, ours)
    (tmp_path / "train.sh").write_text(script)
    (tmp_path / "scontrol").write_text('#!/bin/sh\necho "$@" >> asked\n')
    (tmp_path / "scontrol").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    journal = tmp_path / "runs" / "srflow" / "train.csv"
    begun = 0
    for requests in (1, 2):
        job = subprocess.Popen(["bash", "train.sh"], cwd=tmp_path, env=environment)
        deadline = time.monotonic() + 600
        while not journal.exists() or journal.read_text().count("\n") < begun + 5:
            assert job.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        job.terminate()
        job.wait(300)
        assert (tmp_path / "asked").read_text() == "requeue 7\n" * requests
        saved = torch.load(journal.with_name("checkpoint.pt"), weights_only=True)["step"]
        assert begun < saved == journal.read_text().count("\n") - 1
        begun = saved
