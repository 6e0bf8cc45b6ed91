"""Facts of the machine that a manifest states."""

import shutil
import subprocess
import sys

import pytest
import torch

from srbench.machine.environment import hardware, software


def test_torch_is_named_with_its_build(monkeypatch):
    """As PyPI's build for CUDA names itself, whose installed metadata say 2.15.0."""
    monkeypatch.setattr(torch, "__version__", "2.15.0+cu132")
    assert software()["torch"] == "2.15.0+cu132"


def test_versions_and_hardware():
    found = software()
    assert found["torch"] == torch.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["sr-bench"] != "not installed"
    assert hardware("cpu")["threads"] == "1", "the tests run with one"
    assert hardware("cpu")["cpu"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_srbench_or_none(tmp_path, monkeypatch):
    """A package that lies in somebody else's checkout, as a virtual environment does, takes no commit from it."""
    import srbench.machine.environment

    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, timeout=300
        )

    package = tmp_path / "srbench"
    machine = package / "machine" / "environment.py"
    machine.parent.mkdir(parents=True)
    for file in (machine, package / "__init__.py"):
        file.touch()
    (tmp_path / "own.txt").touch()
    monkeypatch.setattr(srbench.machine.environment, "__file__", str(machine))
    git("init")
    git("add", "own.txt")
    git("commit", "-m", "somebody else's")
    assert "srbench source" not in software()
    git("add", "srbench")
    git("commit", "-m", "ours")
    commit = software()["srbench source"]
    assert len(commit) == 40
    machine.write_text("changed")
    assert software()["srbench source"] == f"{commit} changed"
