from pathlib import Path

import pytest
import torch

from srbench.cli import doctor
from srbench.machine import environment
from srbench.metrics.pyiqa_variants import weights_origin


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty cache of pyiqa."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub"


def lines(found, state):
    return [line.removeprefix(f"{state:7}  ") for line in found.out.splitlines() if line.startswith(state)]


def test_an_installation_is_whole_or_not(command, monkeypatch):
    found = command("doctor")
    assert (found.code, "MISSING" in found.out) == (0, False), found.out
    for line in ("torch: ", "devices: cpu", "packaged photographs: 22\n", "model srflow: x4, x8\n"):
        assert f"ok       {line}" in found.out
    monkeypatch.setattr(doctor, "files", lambda package: Path("absent"))
    found = command("doctor")
    assert found.code == 1
    assert lines(found, "MISSING") == ["packaged photographs: reinstall srbench"]


def test_an_absent_package_has_the_command_that_brings_it(command, monkeypatch):
    versions = {"pyiqa": "0.1.15", "spandrel": "0.4.1", "onnxruntime": "", "ncnn": ""}
    monkeypatch.setattr(environment, "version_of", lambda package: versions.get(package, "1"))
    found = command("doctor")
    assert found.code == 0
    assert {"pyiqa: 0.1.15", "spandrel: 0.4.1"} <= {*lines(found, "ok")}
    assert lines(found, "absent")[0] == "onnxruntime: pip install 'sr-bench[onnx]'"
    versions |= dict.fromkeys(versions, "")
    found = command("doctor")
    assert found.code == 1
    assert lines(found, "MISSING") == ["pyiqa: pip install pyiqa"]
    assert lines(found, "absent")[0] == "spandrel: pip install 'sr-bench[zoo]'"


def test_metrics_without_weights_have_the_command_that_fetches_them(command, hub):
    def lacking(found):
        remedy = "weights of other metrics: srbench weights fetch --metrics "
        return next(line for line in lines(found, "absent") if line.startswith(remedy)).removeprefix(remedy).split(",")

    before = command("doctor")
    assert {"fid", "pyiqa:dists", "pyiqa:niqe", "pyiqa:musiq"} <= {*lacking(before)}
    assert "weights of metrics" not in before.out
    (hub / "pyiqa").mkdir(parents=True)
    (hub / "pyiqa" / weights_origin("dists").rpartition("/")[2]).write_bytes(b"stand-in")
    after = command("doctor")
    assert "weights of metrics: pyiqa:dists" in lines(after, "ok")
    assert {*lacking(before)} - {*lacking(after)} == {"pyiqa:dists"}
