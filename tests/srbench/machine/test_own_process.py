"""The command line keeps freed memory, and leaves the settings of the user."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from srbench.machine.own_process import keep_freed_memory
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


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_freed_memory_is_kept(monkeypatch):
    def faults(*arguments):
        made = subprocess.run([sys.executable, "-c", FAULTS, *arguments], capture_output=True, text=True, check=True)
        return int(made.stdout)

    assert faults("keep") < 100
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")
    assert faults("keep") > 20_000
