"""What the eight columns never import, in any process, and commands that load no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = Path(__file__).parents[1] / "requirements-small.txt"

HEAVY = ("pyiqa", "transformers", "bitsandbytes", "timm", "datasets", "accelerate", "scipy.stats")
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
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=600)
        return seen.read_text().split() if seen.exists() else []

    return imported


@pytest.mark.slow
def test_what_is_imported_is_seen(imported):
    """In a worker too: the other tests cannot pass because nothing is recorded."""
    code = "import multiprocessing as m; m.get_context('spawn').Process(target=__import__, args=['pyiqa']).start()"
    assert "pyiqa" in imported("-c", code)


@pytest.mark.slow
def test_the_eight_columns(imported):
    run = ("-m", "srbench", "run", "--models", "bicubic,srflow", "--scale", 8, "--limit", 2, "--crop", 96)
    assert imported(*run, "--samples", 2, "--workers", 2, "--out", "run") == []
    folders = [f"run/images/{name}" for name in ("bicubic", "hr", "lr")]
    assert imported("-m", "srbench", "measure", folders[0], "--hr", folders[1], "--lr", folders[2]) == []


WITHOUT_TORCH = (
    "srbench.plugins.registry",
    "srbench.models.names",
    "srbench.metrics.suite",
    "srbench.data.datasets",
    "srbench.data.benchmark_sets.table",
    "srbench.run_folder.merge",
    "srbench.benchmark.dataset",
    "srbench.explaining.claims",
    "srbench.benchmark.measure",
    "srbench.benchmark.run",
    "srbench.reporting.writers.report",
    "srbench.reporting.page.view",
    "srbench.reporting.writers.leaderboard",
)
LISTS = ("models", "metrics", "datasets", "suites", "presets", "weights", "runs run")
COMMANDS = (
    *("--help", "run --help", "data degrade --help", "--version", "run --scale x", "run --write-template bench.toml"),
    *(f"list {kind}" for kind in LISTS),
    *("show run", "report run"),
)
"""``show run`` looks at a folder without a run as at one with a run."""
MODELS = ("bicubic", "rrdb", "esrgan@0.5", "x=srflow", "srflow+consistent", "rectified-flow+8steps")
WITH_TORCH = ("srbench.benchmark.scorer", "srbench.metrics.cost", "srbench.models.loading")
PROGRAM = f"""
import sys
from importlib import import_module

import srbench
assert not {{"torch", "numpy", "pandas"}} & {{*sys.modules}}
from srbench.cli.main import main
for words in {COMMANDS}:
    try:
        main(words.split(), prog_name="srbench")
    except SystemExit:
        pass
    assert not {{"torch", "pandas"}} & {{*sys.modules}}, words
    lacking = {{"msgspec", "rich", "importlib.metadata", "multiprocessing", "srbench.interfaces"}}
    assert words != "--help" or not lacking & {{*sys.modules}}
assert srbench.__version__
for module in {WITHOUT_TORCH}:
    import_module(module)
    assert "torch" not in sys.modules, module
from srbench.metrics.loading import metric_digest
from srbench.models.names import ModelSpec
from srbench.plugins.registry import registered
from srbench.weights.files import packaged_weights
assert ModelSpec.parse(f"rrdb:{{packaged_weights('baselines')['rrdb', 4]}}").scale() == 4
assert all(ModelSpec.parse(name).digest(4) for name in {MODELS})
assert all(metric_digest(name, "round") for name in registered("metrics") if name not in ("fid", "kid"))
assert "torch" not in sys.modules
for module in {WITH_TORCH}:
    import_module(module)
assert srbench.metrics.psnr.__name__ == "psnr"
assert not {{"torch.utils.flop_counter", "triton", "spandrel", "onnxruntime", *{HEAVY}}} & {{*sys.modules}}
"""


def test_what_only_reads_or_shows_loads_no_torch_and_a_run_nothing_that_it_does_not_need(tmp_path):
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


WITH_SMALL = """
import sys
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement

def name_of(text):
    return text.lower().replace("_", "-").replace(".", "-")

left, allowed = [Requirement(line) for line in sys.argv[1].splitlines()], set()
while left:
    required = left.pop()
    if name_of(required.name) not in allowed and (required.marker is None or required.marker.evaluate({"extra": ""})):
        allowed.add(name_of(required.name))
        try:
            left += map(Requirement, requires(required.name) or ())
        except PackageNotFoundError:
            pass
allowed |= {"sr-bench", "lpips", "pyiqa", "facexlib", "openai-clip"}
absent = {
    module for module, owners in packages_distributions().items() if allowed.isdisjoint(map(name_of, owners))
}

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
from srbench.cli.main import main
main(sys.argv[2:])
"""
"""A command of srbench as in an installation of requirements-small.txt: other packages than its own are absent."""


@pytest.mark.slow
def test_the_small_requirements_have_what_pyiqa_imports(tmp_path):
    small = [line for line in SMALL.read_text().splitlines() if not line.startswith("#")]

    def faults(requirements):
        command = "run --models bicubic,rrdb --scale 8 --limit 1 --crop 96 --metrics psnr,lpips,pyiqa:gmsd --out run"
        arguments = [sys.executable, "-c", WITH_SMALL, "\n".join(requirements), *command.split()]
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        return done.stderr if done.returncode else ""

    assert faults(small) == ""
    assert "No module named 'requests'" in faults([line for line in small if line != "requests"])
