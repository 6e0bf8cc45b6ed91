"""Plug-ins of several files in one command: modules and inputs of one name."""

from __future__ import annotations

import sys
import threading

import pytest
from srbench.plugins.watch import Inputs, Watch, watching

from srbench.models.loading import load_model
from srbench.plugins import PluginError

NET = """
from srtest_blocks import GAIN


def make(scale):
    return lambda lr: GAIN * lr.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
"""


def test_two_files_that_import_modules_of_one_name(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    for folder, gain in (("old", 1.0), ("new", 0.5)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "srtest_blocks.py").write_text(f"GAIN = {gain}\n")
        (tmp_path / folder / "net.py").write_text(NET)
    try:
        load_model(f"a={tmp_path}/old/net.py:make", 2, "cpu")
        with pytest.raises(PluginError, match=r"imports srtest_blocks, but that is .*old.* in this command; rename"):
            load_model(f"b={tmp_path}/new/net.py:make", 2, "cpu")
    finally:
        sys.modules.pop("srtest_blocks", None)


def test_two_threads_that_read_at_once(tmp_path, monkeypatch):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("1")
    two.write_text("2")
    inside, go, noted = threading.Event(), threading.Event(), Watch._opened

    def slow(self, path, mode, flags):
        if str(path).endswith("one.txt"):
            inside.set()
            go.wait(5)
        noted(self, path, mode, flags)

    monkeypatch.setattr(Watch, "_opened", slow)
    with watching() as watch:
        first, second = (threading.Thread(target=file.read_text) for file in (one, two))
        first.start()
        assert inside.wait(5)
        second.start()
        second.join()
        go.set()
        first.join()
    assert {str(one), str(two)} <= watch.files


def test_files_of_one_name_that_change_places(tmp_path):
    files = [tmp_path / folder / "table.txt" for folder in "ab"]
    inputs, found = Inputs(frozenset(map(str, files))), []
    for texts in ("12", "21"):
        for file, text in zip(files, texts, strict=True):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        found.append(inputs.digest())
    assert found[0] != found[1]
