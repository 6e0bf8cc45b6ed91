"""Weights that do not fit, at the command line: one line that says why, and nothing is begun."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from srbench.weights.files import load_weights

WEIGHTS = {
    model: Path(str(files(package))) / "weights" / f"{model}-mini-x8.safetensors"
    for model, package in {"rrdb": "baselines", "esrgan": "baselines", "srflow": "srflow"}.items()
}


def kept_part(path, share):
    content = path.read_bytes()
    return content[: int(len(content) * share)]


@pytest.fixture
def bad(tmp_path):
    """Real weights files, damaged."""
    (tmp_path / "half.safetensors").write_bytes(kept_part(WEIGHTS["srflow"], 0.5))
    (tmp_path / "header.safetensors").write_bytes(kept_part(WEIGHTS["rrdb"], 0.001))
    tensors = load_file(WEIGHTS["rrdb"])
    del tensors["conv_last.bias"]
    save_file(tensors, tmp_path / "lacking.safetensors", load_weights(WEIGHTS["rrdb"])[1])
    return tmp_path


@pytest.mark.parametrize(
    ("models", "scale", "fault"),
    [
        ("rrdb", 3, r"no rrdb weights are packaged for scale 3 \(packaged: .*8\); train some with srbench train rrdb"),
        ("bicubic,srflow", 3, r"no srflow weights are packaged for scale 3 \(packaged: .*8\)"),
        ("rrdb:{rrdb}", 3, r"rrdb-mini-x8\.safetensors: weights for scale 8, not 3; use --scale 8"),
        ("srflow:{srflow}", 4, r"srflow-mini-x8\.safetensors: weights for scale 8, not 4; use --scale 8"),
        ("srflow:{rrdb}", 8, r"weights of the model rrdb, not of srflow; choose a srflow file"),
        ("rrdb:{esrgan}", 8, r"weights of the model esrgan, not of rrdb; choose a rrdb file"),
        ("esrgan:{srflow}", 8, r"weights of the model srflow, not of esrgan; choose a esrgan file"),
        ("srflow:{bad}/half.safetensors", 8, r"half\.safetensors: damaged, or no safetensors file .*; replace it"),
        ("rrdb:{bad}/header.safetensors", 8, r"header\.safetensors: damaged, or no safetensors file .*; replace it"),
        ("rrdb:{bad}/lacking.safetensors", 8, r"1 tensors do not fit the network: missing conv_last\.bias"),
        ("rrdb:{rrdb},srflow:{srflow}x", 8, r"srflow-mini-x8\.safetensorsx: no such weights file; check the path"),
        ("rrdb,rrdb:{rrdb},rrdb-mini-x8=bicubic", 8, r"the label rrdb-mini-x8 is also that of rrdb:"),
    ],
)
def test_weights_that_do_not_fit(srbench, tmp_path, bad, models, scale, fault):
    out = tmp_path / "run"
    found = srbench("run", "--models", models.format(bad=bad, **WEIGHTS), "--scale", scale, "--limit", 2, "--out", out)
    assert found.exit_code == 1
    assert re.search(fault, found.output)
    assert found.output.startswith("srbench: ")
    assert len(found.output.splitlines()) == 1
    assert not out.exists(), "nothing is begun that cannot be finished"
