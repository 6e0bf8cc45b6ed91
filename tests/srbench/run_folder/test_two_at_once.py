"""Two processes on one folder: one of them works, the other says so and leaves it alone."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter

import pytest
from rich.console import Console

import srbench.terminal.output
from srbench.cli.main import main
from srbench.reporting.writers.report import write_report
from srbench.verification.verify import verify

pytestmark = pytest.mark.slow

TRIALS = 3


def arguments(spec, models, out):
    options = f"--scale 4 --data {spec.data} --metrics psnr --temperature 0.5,0.8 --samples 2 --limit 2 --out {out}"
    return ["run", "--models", f"slow={models}:Slow", *options.split()]


def forked(words, log):
    """The command line in a child of this process, which need not import everything anew; returns its number."""
    child = os.fork()
    if child == 0:
        code = 1
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
            try:
                srbench.terminal.output.STDERR = Console(stderr=True)
                main([str(word) for word in words], prog_name="srbench")
            except SystemExit as left:
                code = left.code or 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
    return child


def test_two_processes_at_once(spec, models, tmp_path):
    first = tmp_path / "first"
    os.waitpid(forked(arguments(spec, models, first), tmp_path / "log"), 0)
    write_report([first], out=tmp_path / "report")  # so that all is imported before the children begin
    for trial in range(TRIALS):
        out, logs = tmp_path / f"run-{trial}", [tmp_path / f"log-{trial}-{k}" for k in range(2)]
        children = [forked(arguments(spec, models, out), log) for log in logs]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        check(out, [log.read_text() for log in logs], codes)


def check(folder, said, codes):
    for err, code in zip(said, codes, strict=True):
        lines = [line for line in err.splitlines() if line.startswith("srbench: ")]
        assert "Traceback" not in err
        if code:
            assert len(lines) == 1, err
            assert "another srbench process is writing; wait for it, or choose another --out" in lines[0]
    assert 0 in codes, said
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    keys = Counter(row["key"] for row in rows)
    assert len(keys) == 4, "two temperatures, two images"
    assert set(keys.values()) == {1}, "none twice"
    assert verify(folder).holds
