"""Inputs that would take more memory than there is, or print more than a terminal has letters for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

MEASURED = """
import re, sys
from pathlib import Path
from srbench.cli.main import main
try:
    main(sys.argv[1:])
finally:
    [peak] = re.findall(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
    print("peak", int(peak) // 1024, file=sys.stderr)
"""
"""``getrusage`` would also count what the test's own process held when it started this one."""


def measured(*arguments, **environment):
    """A command in a process of its own; returns exit code, what it printed, and its peak memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)],
        capture_output=True,
        env=os.environ | environment,
        check=False,
        timeout=1200,
    )
    lines = done.stderr.decode(errors="replace").splitlines()
    [peak] = [int(line.split()[1]) for line in lines if line.startswith("peak ")]
    return done.returncode, done.stdout, [line for line in lines if not line.startswith("peak ")], peak


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("upscale {bad}/fine", "2 images could not be"),
        ("run --data {bad}/fine --metrics psnr --workers 1", r"1000000000 samples of 32x32 need .* draw fewer"),
    ],
)
def test_more_samples_than_the_memory_holds(refused, command, says):
    refused(f"{command} --models srflow --scale 8 --samples 1000000000 --out {{here}}/out", says)


def test_a_terminal_of_ascii_and_names_that_are_commands(bad, tmp_path):
    """Nothing that is printed is a traceback, or a command to the terminal."""
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "\x1b[31mred.png").write_bytes((bad / "fine" / "a.png").read_bytes())
    code, out, lines, _ = measured("list", "metrics", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert code == 0, lines
    code, out, lines, _ = measured(
        "measure", tmp_path / "red", "--hr", tmp_path / "red", "--metrics", "psnr", PYTHONIOENCODING="ascii"
    )
    assert code == 0, lines
    assert rb"\x1b[31mred" in out
    assert b"\x1b[31m" not in out
    code, _, lines, _ = measured("run", "--models", "bicubic", "--scale", 4, "--data", tmp_path / "red")
    assert (code, [rb"\x1b" in line.encode() for line in lines[1:]]) == (1, [True])
