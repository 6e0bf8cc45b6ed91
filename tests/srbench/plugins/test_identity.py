"""What a third-party plug-in is in unlike places: installed, moved, beside others. test_made_again has the rule itself."""

from __future__ import annotations

import pytest
import torch

from srbench.models.loading import load_model, wrap_model
from srbench.plugins import PluginError

MODEL = """
import os
from pathlib import Path

import torch

HERE = Path(__file__).parent
{top}

class Model:
    scale = 2

    def __init__(self):
        {init}

    def __call__(self, lr):
        return lr.repeat_interleave(2, -1).repeat_interleave(2, -2)
"""


def model(top="", init="pass"):
    return MODEL.format(top=top, init=init)


NUMBER = 'float((HERE / "gain.txt").read_text())'
FILES = {
    "srtest_reader.py": f"from pathlib import Path\nHERE = Path(__file__).parent\nGAIN = {NUMBER}\n",
}


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_an_installed_package_is_its_version(tmp_path, new_process, monkeypatch):
    def installed(version, module):
        write(
            tmp_path / "site-packages",
            {
                "srtest_wheel.py": model(f"GAIN = {module}"),
                "srtest_wheel.dist-info/METADATA": f"Metadata-Version: 2.1\nName: srtest-wheel\nVersion: {version}\n",
                "srtest_wheel.dist-info/RECORD": "srtest_wheel.py,,\n",
            },
        )
        new_process()
        monkeypatch.syspath_prepend(tmp_path / "site-packages")
        write(tmp_path, {"my.py": "import srtest_wheel\nModel = srtest_wheel.Model\n"})
        return [load_model(text, 2, "cpu").digest for text in ("srtest_wheel:Model", f"{tmp_path / 'my.py'}:Model")]

    first, same, second = installed("1", 1.0), installed("1", 0.5), installed("2", 0.5)
    assert first == same, "the sources of an installed package do not count"
    assert not set(first) & set(second)


def test_plugins_of_a_folder_do_not_count_for_each_other(tmp_path, new_process):
    """One opens a file that the other does not, and both share a module that opens a third."""
    write(tmp_path, FILES | {"gain.txt": "1.0", "other.txt": "2.0"})
    write(tmp_path, {"my.py": model("import srtest_reader")})
    write(tmp_path, {"other.py": model("import srtest_reader", init='(HERE / "other.txt").read_text()')})
    names = [f"{tmp_path / name}:Model" for name in ("my.py", "other.py")]
    new_process()
    forward = [load_model(name, 2, "cpu").digest for name in names]
    new_process()
    backward = [load_model(name, 2, "cpu").digest for name in reversed(names)]
    assert forward == backward[::-1]


def test_a_folder_that_was_moved(tmp_path, new_process):
    found = []
    for folder in (tmp_path / "here", tmp_path / "there"):
        write(folder, FILES | {"my.py": model("import srtest_reader", f"self.gain = {NUMBER}"), "gain.txt": "1.0"})
        new_process()
        found.append(load_model(f"{folder / 'my.py'}:Model", 2, "cpu").digest)
    assert found[0] == found[1]


def test_two_files_that_import_modules_of_one_name(tmp_path, new_process):
    for folder, gain in (("old", 1.0), ("new", 0.5)):
        write(tmp_path / folder, {"my.py": model("import srtest_blocks"), "srtest_blocks.py": f"GAIN = {gain}\n"})
    new_process()
    load_model(f"{tmp_path}/old/my.py:Model", 2, "cpu")
    with pytest.raises(
        PluginError, match=r"imports srtest_blocks, but this command has already loaded .*old.* by that name; rename"
    ):
        load_model(f"{tmp_path}/new/my.py:Model", 2, "cpu")


def test_values_that_cannot_be_read_need_a_digest():
    class Sparse:
        scale = 2
        table = torch.eye(2).to_sparse()

        def __init__(self):
            self.held = self.table

        def __call__(self, lr):
            return lr

    with pytest.raises(PluginError, match=r"holds a tensor \(2, 2\) whose values cannot be read .* method digest\(\)"):
        wrap_model(Sparse(), 2, "cpu")
    Sparse.digest = lambda self: "version 1"
    assert wrap_model(Sparse(), 2, "cpu").digest
