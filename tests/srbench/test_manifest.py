import json
import shutil
import subprocess
import sys

import pytest
import torch

from srbench.manifest import (
    ManifestError,
    hardware,
    metric_facts,
    model_facts,
    now,
    read_manifest,
    software,
    write_manifest,
)
from srbench.registry import load_metric
from srbench.types import WeightsInfo


def test_what_is_written_is_read(tmp_path):
    write_manifest(tmp_path / "run", {"keys": ["a"], "τ": 0.8})
    assert read_manifest(tmp_path / "run") == {"keys": ["a"], "τ": 0.8}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "no run in it"),
        ("{", "damaged"),
        ("[]", "not the manifest of a run"),
        ('{"name": "web app"}', "not the manifest of a run"),
    ],
)
def test_what_is_no_run(tmp_path, content, fault):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ManifestError, match=fault):
        read_manifest(tmp_path)


def test_facts_are_json():
    weights = WeightsInfo("f00", "CC0-1.0", "flowers", 12)
    facts = [
        model_facts("m", "m:file", "d", weights),
        model_facts("m", "m", "d", None),
        metric_facts(load_metric("psnr")),
        software(),
        hardware("cpu"),
    ]
    assert json.loads(json.dumps(facts)) == facts
    assert facts[0]["weights"] == {
        "sha256": "f00", "licence": "CC0-1.0", "trained_on": "flowers", "parameters": 12, "losses": {},
    }  # fmt: skip
    assert facts[1]["weights"] is None
    assert (facts[2]["unit"], facts[2]["higher_is_better"]) == ("dB", True)


def test_torch_is_named_with_its_build(monkeypatch):
    """As PyPI's build for CUDA names itself, whose installed metadata say 2.15.0."""
    monkeypatch.setattr(torch, "__version__", "2.15.0+cu132")
    assert software()["torch"] == "2.15.0+cu132"


def test_versions_and_hardware():
    found = software()
    assert found["torch"] == torch.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["sr-bench"] != "not installed"
    assert hardware("cpu")["threads"] == 1, "the tests run with one"
    assert hardware("cpu")["cpu"]
    assert now().endswith("+00:00")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_srbench_or_none(tmp_path, monkeypatch):
    """A package that lies in somebody else's checkout, as a virtual environment does, takes no commit from it."""
    import srbench.manifest

    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    package = tmp_path / "srbench"
    package.mkdir()
    for name in ("manifest.py", "__init__.py"):
        (package / name).touch()
    (tmp_path / "own.txt").touch()
    monkeypatch.setattr(srbench.manifest, "__file__", str(package / "manifest.py"))
    git("init")
    git("add", "own.txt")
    git("commit", "-m", "somebody else's")
    assert "srbench source" not in software()
    git("add", "srbench")
    git("commit", "-m", "ours")
    commit = software()["srbench source"]
    assert len(commit) == 40
    (package / "manifest.py").write_text("changed")
    assert software()["srbench source"] == f"{commit} changed"
