import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import srbench
from srbench.cli import doctor
from srbench.plugins import registry


def faults():
    return {name: found for fine, name, found in doctor.findings() if not fine}


def test_metrics_and_data_are_complete():
    found = {name: (fine, text) for fine, name, text in doctor.findings()}
    complete = ["packaged photographs", "dataset photos", "model bicubic", "trainer srflow", "metric niqe", "torch"]
    assert all(found[name][0] for name in complete)
    assert found["model bicubic"][1] == "x2, x3, x4, x8"
    assert found["dataset photos"][1] == "22 images"


def test_an_installation_is_healthy_or_not(srbench, monkeypatch):
    found = srbench("doctor")
    assert (found.exit_code, "MISSING" in found.stdout) == (0, False), found.stdout
    assert "metric parameters: 0 of bicubic interpolation" in found.stdout
    monkeypatch.setattr(doctor, "PHOTOS_SHA256", "")
    found = srbench("doctor")
    assert (found.exit_code, found.stdout.count("MISSING")) == (1, 1)


def test_changed_photographs_are_found(tmp_path, monkeypatch):
    shutil.copytree(Path(srbench.__file__).parent / "data" / "photos", tmp_path / "data" / "photos")
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "cli" / "doctor.py"))
    assert "packaged photographs" not in faults()
    (tmp_path / "data" / "photos" / "dog.png").unlink()
    assert "changed" in faults()["packaged photographs"]
    shutil.rmtree(tmp_path / "data" / "photos")
    assert "missing" in faults()["packaged photographs"]


def test_broken_and_missing_plugins_are_found(monkeypatch):
    broken = EntryPoint("broken", "no_such_module_of_test:X", "srbench.models")
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken] if group == "srbench.models" else [])
    found = faults()
    assert "ModuleNotFoundError" in found["model broken"]
    assert "none are registered" in found["metrics"]
