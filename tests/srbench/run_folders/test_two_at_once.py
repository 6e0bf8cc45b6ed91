"""Two processes on one folder: one of them works, the other says so and leaves it alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from filelock import FileLock

from srbench.run import run
from srbench.run_folder import RunFolderError
from srbench.verify import verify

TRIALS = 10


def start(spec, models, out):
    options = f"--scale 4 --data {spec.data} --metrics psnr --temperature 0.5,0.8 --samples 2 --limit 2 --out {out}"
    command = [sys.executable, "-m", "srbench", "run", "--models", f"slow={models}:Slow", *options.split()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once(spec, models, tmp_path):
    """Ten folders, all trials side by side: two commands each."""
    for trials in (range(TRIALS // 2), range(TRIALS // 2, TRIALS)):
        pairs = {trial: [start(spec, models, tmp_path / f"run-{trial}") for _ in range(2)] for trial in trials}
        for trial, processes in pairs.items():
            ends = [(process.communicate(timeout=300), process.returncode) for process in processes]
            check(tmp_path / f"run-{trial}", ends)


def check(folder, ends):
    for (_, err), code in ends:
        lines = [line for line in err.splitlines() if line.startswith("srbench: ")]
        assert "Traceback" not in err
        if code:
            assert len(lines) == 1, err
            assert "in use by " in lines[0] or "in use by process" in err
            assert "wait for it, or choose another --out" in lines[0]
    assert any(code == 0 for _, code in ends), ends
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    keys = Counter(row["key"] for row in rows)
    assert len(keys) == 4, "two temperatures, two images"
    assert set(keys.values()) == {1}, "none twice"
    assert verify(folder).proven


def test_the_owner_is_named(spec, finished):
    with FileLock(finished / ".lock"):
        (finished / ".owner.json").write_text(json.dumps({"process": 7, "host": "elsewhere", "since": "noon"}))
        with pytest.raises(RunFolderError, match="in use by process 7 on elsewhere since noon; wait for it, or choose"):
            run(spec)


def test_a_lock_whose_owner_is_gone_is_taken_over(spec, models, tmp_path):
    process = start(spec, models, tmp_path / "killed")
    while not (tmp_path / "killed" / "samples.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "killed" / ".owner.json").exists()
    end = start(spec, models, tmp_path / "killed")
    _, err = end.communicate(timeout=100)
    assert end.returncode == 0, err
    assert verify(tmp_path / "killed").proven
