"""Packages that are installed while a command runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

INSTALLS = '''
from pathlib import Path

import torch.nn.functional as F


class Net:
    """Repeats pixels; meanwhile an installer has written half of a package that reports need."""

    scale = 4

    def __call__(self, lr):
        half = Path({folder!r}) / "jinja2"
        half.mkdir(exist_ok=True)
        (half / "__init__.py").write_text("raise ImportError('half of jinja2')")
        return F.interpolate(lr, scale_factor=4)
'''


@pytest.fixture
def environment(tmp_path):
    """An environment to throw away: its Python, and the folder of its packages. It also sees those of the tests."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / Path(sysconfig.get_path("scripts")).name / "python"
    [packages] = (tmp_path / "venv").rglob("site-packages")
    (packages / "tests.pth").write_text("\n".join(path for path in sys.path if "-packages" in path or path == ROOT))
    return python, packages


ROOT = str(Path(__file__).parents[3])


@pytest.mark.slow
def test_an_installation_during_a_run_is_one_line_and_the_run_can_be_repeated(environment, photos, tmp_path):
    python, packages = environment
    (tmp_path / "net.py").write_text(INSTALLS.format(folder=str(packages)))
    words = f"run --models net.py:Net --scale 4 --data {photos} --metrics psnr --workers 1 --out run"

    def run():
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [python, "-m", "srbench", *words.split()]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=variables, timeout=300)

    done = run()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "srbench: the installed packages changed during this command (ImportError: half of jinja2); finished work is "
        "kept. Rerun the same command to resume."
    )
    shutil.rmtree(packages / "jinja2")
    (tmp_path / "net.py").write_text(INSTALLS.format(folder=str(packages)))
    done = run()
    assert (done.returncode, "nothing to do" in done.stderr) == (0, True), done.stderr
    assert (tmp_path / "run" / "report" / "report.html").is_file()


@pytest.mark.slow
def test_any_other_error_of_srbench_keeps_its_traceback(environment, photos, tmp_path):
    python, packages = environment
    (packages / "jinja2").mkdir()
    (packages / "jinja2" / "__init__.py").write_text("raise ImportError('half of jinja2')")
    command = [python, "-m", "srbench", "measure", str(photos), "--hr", str(photos), "--format", "md"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert (done.returncode, "Traceback" in done.stderr) == (1, True)
