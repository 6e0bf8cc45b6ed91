from pathlib import Path

from srbench.cli import doctor


def test_an_installation_is_whole_or_not(command, monkeypatch):
    found = command("doctor")
    assert (found.code, "MISSING" in found.out) == (0, False), found.out
    for line in ("torch: ", "devices: cpu", "packaged photographs: 22\n", "model srflow: x4, x8\n"):
        assert f"ok       {line}" in found.out
    monkeypatch.setattr(doctor, "files", lambda package: Path("absent"))
    found = command("doctor")
    assert found.code == 1
    assert [line for line in found.out.splitlines() if line.startswith("MISSING")] == [
        "MISSING  packaged photographs: reinstall srbench"
    ]
