"""Opening a request: what the run folder knows of models and metrics is not loaded."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from srbench.benchmark.opened import open_request
from srbench.benchmark.run import run
from srbench.interfaces import SRBenchError
from srbench.run_folder.request import RunSpec

AGAIN = """
import sys
from pathlib import Path
from srbench.cli.main import main

try:
    main(sys.argv[1:], prog_name="srbench")
finally:
    Path("loaded").write_text(" ".join(name for name in ("torch", "pandas") if name in sys.modules))
"""


@pytest.fixture
def finished_srflow(photos, tmp_path):
    """A finished request of two packaged models."""
    spec = RunSpec(("srflow", "bicubic"), 8, str(photos), limit=1, metrics=("psnr",), out=str(tmp_path / "run"))
    run(spec)
    return spec


def loaded(spec):
    request = open_request(spec)
    return [*request.loaded_models], [metric.info.name for metric in request.loaded_metrics]


def test_what_is_opened_is_what_is_loaded(finished_srflow):
    """Facts, settings and keys are those of models that were loaded."""
    known = open_request(finished_srflow)
    opened = open_request(replace(finished_srflow, out=f"{finished_srflow.out} other"))
    assert loaded(finished_srflow) == ([], [])
    assert [*opened.loaded_models] == ["srflow", "bicubic"]
    assert known.manifest() == opened.manifest()
    assert [setting.label for setting in known.settings] == ["srflow τ=0.85", "bicubic"]
    assert [known.pair_key(image) for image in known.images] == [opened.pair_key(image) for image in opened.images]
    outcome = run(finished_srflow)
    assert (outcome.items, outcome.sampled, outcome.scored, outcome.usable) == (2, 0, 0, True)


def test_only_what_is_new_is_loaded(finished_srflow):
    assert loaded(replace(finished_srflow, models=("srflow", "esrgan", "bicubic"))) == (["esrgan"], [])
    assert loaded(replace(finished_srflow, again=("bicubic",))) == (["bicubic"], [])
    assert loaded(replace(finished_srflow, models=("bicubic=rrdb",))) == (["bicubic"], []), "another model of its label"
    assert loaded(replace(finished_srflow, metrics=("psnr", "ssim"))) == ([], ["psnr", "ssim"])
    assert loaded(replace(finished_srflow, seed=1)) == (["srflow", "bicubic"], ["psnr"]), "another protocol"
    more = run(replace(finished_srflow, limit=2))
    assert (more.sampled, more.failures) == (2, ())


def test_a_model_that_cannot_be_loaded_ends_the_command_before_it_is_recorded(finished_srflow, monkeypatch):
    def load_model(text, *_, **__):
        raise SRBenchError(f"{text} cannot be loaded")

    monkeypatch.setattr("srbench.models.loading.load_model", load_model)
    before = Path(finished_srflow.out, "manifest.json").read_bytes()
    with pytest.raises(SRBenchError, match="srflow cannot be loaded"):
        run(replace(finished_srflow, limit=2))
    assert Path(finished_srflow.out, "manifest.json").read_bytes() == before


def test_a_repeated_command_loads_neither_torch_nor_pandas(finished_srflow, tmp_path):
    words = finished_srflow.command().split()[1:]
    command = [sys.executable, "-c", AGAIN, *words]
    for _ in range(2):  # the first writes the report
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
    assert "torch" not in (tmp_path / "loaded").read_text()
