"""What a third-party plug-in is in unlike places: installed, moved, beside others. test_made_again has the rule itself."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch
from torch.nn.utils import parametrizations

from srbench.models.loading import load_model, wrap_model
from srbench.plugins import PluginError
from srbench.plugins.identity import held_digest

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
    """Both share a module, and the second imports another one, whichever is loaded first."""
    write(tmp_path, {"srtest_shared.py": "", "srtest_second.py": "", "my.py": model("import srtest_shared")})
    write(tmp_path, {"other.py": model("import srtest_shared, srtest_second")})
    names = [f"{tmp_path / name}:Model" for name in ("my.py", "other.py")]

    def digests(order):
        new_process()
        return {name: load_model(name, 2, "cpu").digest for name in order}

    before = digests(names)
    assert digests(reversed(names)) == before
    write(tmp_path, {"srtest_second.py": "GAIN = 1\n"})
    after = digests(names)
    assert [after[name] == before[name] for name in names] == [True, False]


@pytest.mark.parametrize("place", ["src", "site-packages"])
def test_a_package_that_is_not_installed_counts_by_its_sources(tmp_path, new_process, monkeypatch, place):
    """As after ``pip install -e``."""
    folder = tmp_path / place

    def loaded(gain):
        write(folder, {"srtest_nets/__init__.py": "", "srtest_nets/gain.py": f"GAIN = {gain}\n"})
        write(folder, {"srtest_nets/net.py": model("from srtest_nets.gain import GAIN")})
        new_process()
        monkeypatch.syspath_prepend(folder)
        return load_model("srtest_nets.net:Model", 2, "cpu").digest

    assert (loaded(1.0) == loaded(0.5)) == (place == "site-packages")


def test_a_file_runs_once_until_it_changes(tmp_path, new_process):
    """Two models of a file, and a network that is created twice."""
    source = model("with (HERE / 'log.txt').open('a') as log: log.write('x')")
    write(tmp_path, {"my.py": source + "\n\nclass Other(Model): ...\n"})
    new_process()
    for name in ("Model", "Other", "Model"):
        load_model(f"{tmp_path / 'my.py'}:{name}", 2, "cpu")
    assert (tmp_path / "log.txt").read_text() == "x"
    write(tmp_path, {"my.py": source + "\n# changed\n"})
    load_model(f"{tmp_path / 'my.py'}:Model", 2, "cpu")
    assert (tmp_path / "log.txt").read_text() == "xx"


NETWORK = """
import torch

COUNT = []

class Fixed(torch.nn.Module):
    scale = 1

    def __init__(self):
        super().__init__()
        COUNT.append(0)

class Seeded(Fixed):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 3, 1)
"""


@pytest.mark.parametrize(
    ("name", "is_recorded", "times"), [("Seeded", False, 2), ("Seeded", True, 1), ("Fixed", False, 1)]
)
def test_a_network_is_created_twice_if_it_draws_random_numbers(tmp_path, new_process, name, is_recorded, times):
    write(tmp_path, {"net.py": NETWORK})
    new_process()
    created = load_model(f"{tmp_path / 'net.py'}:{name}", 1, "cpu", is_recorded=is_recorded).model
    assert len(sys.modules[type(created).__module__].COUNT) == times


def test_a_folder_that_was_moved(tmp_path, new_process):
    found = []
    for folder in (tmp_path / "here", tmp_path / "there"):
        write(folder, {"my.py": model("import srtest_beside"), "srtest_beside.py": ""})
        new_process()
        found.append(load_model(f"{folder / 'my.py'}:Model", 2, "cpu").digest)
    assert found[0] == found[1]


def test_a_link_to_a_file(tmp_path, new_process):
    """Modules beside the file count, not those beside the link."""
    write(tmp_path, {"real/my.py": model("import srtest_beside"), "linked/srtest_beside.py": ""})
    (tmp_path / "linked" / "my.py").symlink_to(tmp_path / "real" / "my.py")
    found = []
    for content in ("", "GAIN = 1\n"):
        write(tmp_path / "real", {"srtest_beside.py": content})
        new_process()
        found.append(load_model(f"{tmp_path / 'linked' / 'my.py'}:Model", 2, "cpu").digest)
    assert found[0] != found[1]


def test_a_base_class_of_another_folder_counts_for_an_object(tmp_path, new_process, monkeypatch):
    write(tmp_path / "nets", {"srtest_net.py": "from srtest_base import Base\nclass Net(Base): ...\n"})
    found = []
    for gain in (1.0, 0.5):
        write(tmp_path / "bases", {"srtest_base.py": f"class Base:\n    def __call__(self, lr): return {gain} * lr\n"})
        new_process()
        monkeypatch.syspath_prepend(tmp_path / "nets")
        monkeypatch.syspath_prepend(tmp_path / "bases")
        found.append(wrap_model(importlib.import_module("srtest_net").Net(), 1, "cpu").digest)
    assert found[0] != found[1]


def test_two_files_that_import_modules_of_one_name(tmp_path, new_process):
    for folder, gain in (("old", 1.0), ("new", 0.5)):
        write(tmp_path / folder, {"my.py": model("import srtest_blocks"), "srtest_blocks.py": f"GAIN = {gain}\n"})
    new_process()
    load_model(f"{tmp_path}/old/my.py:Model", 2, "cpu")
    with pytest.raises(
        PluginError, match=r"imports srtest_blocks, but Python has already found .*old.* by that name; rename"
    ):
        load_model(f"{tmp_path}/new/my.py:Model", 2, "cpu")


@pytest.mark.parametrize("normalised", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_tensors_of_a_network_count_even_if_it_cannot_be_pickled(normalised):
    network = torch.nn.Sequential(normalised(torch.nn.Linear(2, 2)))
    before = held_digest(network)
    assert held_digest(network) == before
    next(network.parameters()).data.add_(1)
    assert held_digest(network) != before
