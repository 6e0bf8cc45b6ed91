"""What the eight columns never import, in any process, and commands that load no torch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("pyiqa", "transformers", "bitsandbytes", "timm", "datasets", "accelerate")
RECORDER = f"""
import os, sys

class Recorder:
    def find_spec(self, name, path=None, target=None):
        if name in {HEAVY!r}:
            with open(os.environ["HEAVY_IMPORTS"], "a") as file:
                print(name, file=file)

sys.meta_path.insert(0, Recorder())
"""
"""Runs at the start of every Python process, as the one that a worker is."""


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Run Python with arguments; returns the names of heavy packages that it or a process of it imported."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(RECORDER)
    seen = tmp_path / "seen"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "path"), "HEAVY_IMPORTS": str(seen)}

    def imported(*arguments):
        command = [sys.executable, *map(str, arguments)]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        return seen.read_text().split() if seen.exists() else []

    return imported


def test_what_is_imported_is_seen(imported):
    """In a worker too: the other tests cannot pass because nothing is recorded."""
    code = "import multiprocessing as m; m.get_context('spawn').Process(target=__import__, args=['pyiqa']).start()"
    assert "pyiqa" in imported("-c", code)


def test_import(imported):
    assert imported("-c", "import srbench; srbench.evaluate, srbench.metrics.lpips, srbench.explain") == []


@pytest.mark.parametrize("workers", [1, 2])
def test_the_eight_columns(imported, workers):
    run = ("-m", "srbench", "run", "--models", "bicubic,srflow", "--scale", 8, "--limit", 2, "--crop", 160)
    assert imported(*run, "--samples", 2, "--workers", workers, "--out", "run") == []
    folders = [f"run/images/{name}" for name in ("bicubic", "hr", "lr")]
    assert imported("-m", "srbench", "measure", folders[0], "--hr", folders[1], "--lr", folders[2]) == []


@pytest.mark.parametrize(
    "module",
    [
        "reporting.page.view",
        "reporting.report",
        "plugins.registry",
        "models.names",
        "metrics.suite",
        "data.datasets",
        "benchmark.dataset",
        "index.page",
        "matrix.folder",
        "benchmark.measure",
        "benchmark.structure",
        "run_folder.merge",
        "data.benchmark_sets.table",
    ],
)
def test_what_only_reads_or_shows_loads_no_torch(module):
    code = f"import sys, srbench.{module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


HELP = ("--help", "run --help", "data prepare --help", "--version", "run --scale x")


@pytest.mark.parametrize("command", [*HELP, "init", "show run", "list weights", "list suites"])
def test_commands_without_torch(tmp_path, command):
    """A folder without a run is looked at as one with a run is; help does not load pandas either."""
    (tmp_path / "run").mkdir()
    large = {"torch", "pandas"} if command in HELP else {"torch"}
    code = f"import sys, atexit; atexit.register(lambda: print({large} & {{*sys.modules}})); import srbench.__main__"
    words = [sys.executable, "-c", code, *command.split()]
    found = subprocess.run(words, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert found.stdout.endswith("set()\n")
