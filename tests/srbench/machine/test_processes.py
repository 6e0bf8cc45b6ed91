"""The command line keeps freed memory, searches it seldom, its idle threads wait briefly, the user's settings stay."""

import os
import subprocess
import sys

import pytest

from srbench.machine.processes import wait_briefly

PASSIVE = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "10000"}
MATRICES = "OPENBLAS_THREAD_TIMEOUT"

FAULTS = """
import resource, sys, torch
from srbench.machine.processes import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(4_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_freed_memory_is_kept(monkeypatch):
    def faults(*arguments):
        command = [sys.executable, "-c", FAULTS, *arguments]
        made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        return int(made.stdout)

    for name in [name for name in os.environ if name.startswith("MALLOC_")]:  # Dask sets some
        monkeypatch.delenv(name)
    assert faults("keep") < 2_000
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")
    assert faults("keep") > 20_000


SEARCHES = """
import gc, sys
from click.testing import CliRunner
from srbench.cli.main import main
CliRunner().invoke(main, ["--version"])
before = gc.get_stats()[2]["collections"]
import torch
print(gc.get_stats()[2]["collections"] - before)
"""


def test_importing_torch_does_not_search_all_objects():
    command = [sys.executable, "-c", SEARCHES]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout == "0\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, PASSIVE | {MATRICES: "18"}),
        ({MATRICES: "26"}, PASSIVE | {MATRICES: "26"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": None}),
    ],
)
def test_idle_threads_wait_briefly_unless_the_user_says_otherwise(monkeypatch, given, expected):
    for name in (*PASSIVE, MATRICES):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert {name: os.environ.get(name) for name in expected} == expected
