"""The guards of conftest.py hold."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch


def test_leaving_the_machine_fails():
    with pytest.raises(OSError, match="blocked in tests"), socket.socket() as leaving:
        leaving.connect(("192.0.2.1", 80))
    with pytest.raises(OSError, match="blocked in tests"):
        socket.create_connection(("example.org", 80), timeout=1)


def test_the_machine_itself_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        assert client.getpeername() == server.getsockname()


def test_one_thread():
    assert torch.get_num_threads() == 1


def test_there_is_no_gpu():
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert not torch.cuda.is_available()


@pytest.mark.parametrize(("marks", "seen"), [("cuda", "7"), ("not slow", ""), ("not cuda", ""), ("", "")])
def test_only_tests_of_gpus_see_any(tmp_path, marks, seen):
    (tmp_path / "test_some.py").write_text("import os\nprint('seen:', os.environ['CUDA_VISIBLE_DEVICES'])")
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = cuda\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-m", marks, tmp_path],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "7"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert f"seen: {seen}\n" in done.stdout


SKIPS = """
import pytest

def test_allowed(): pytest.skip("needs pdflatex")
def test_other(): pytest.skip("needs something to install")
@pytest.mark.skipif(True, reason="needs another thing")
def test_marked(): pass
@pytest.mark.xfail
def test_expected(): assert False
"""


def test_a_skip_for_another_reason_fails_where_all_is_installed(tmp_path):
    (tmp_path / "test_some.py").write_text(SKIPS)
    (tmp_path / "test_module.py").write_text("import pytest; pytest.importorskip('nothing_of_this_name')")
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = cuda\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "--continue-on-collection-errors", tmp_path],
        env=os.environ | {"SRBENCH_FAIL_ON_SKIPS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "1 failed, 1 skipped, 1 xfailed, 2 errors" in done.stdout
    assert done.returncode != 0
    for name in ("test_some.py::test_other", "test_some.py::test_marked", "test_module.py"):
        assert f"{name}: may not be skipped here" in done.stdout
