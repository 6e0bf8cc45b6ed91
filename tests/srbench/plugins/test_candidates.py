"""A file named without a class: what in it could be meant is listed, and nothing of it is executed."""

from __future__ import annotations

import pytest

from srbench.benchmark.dataset import open_dataset
from srbench.interfaces import SRBenchError
from srbench.models.loading import load_model, scale_of
from srbench.plugins.registry import load_metric
from srbench.run_folder.request import RunSpec

FILE = """
from torch import nn

raise SystemExit("this file was executed")


class Block(nn.Module):
    def forward(self, x): ...


class Net(nn.Module):
    def __init__(self, scale=4):
        self.block = Block()

    def forward(self, lr): ...


class Deep(Net): ...


class MAE:
    facts = None

    def __call__(self, samples, pair): ...


class Stripes:
    def read(self, name): ...


class _Hidden(Net): ...


class Config: ...


def make(scale, depth=3): ...


def blur(image): ...
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "net.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("label", ["", "ours="])
def test_a_file_as_a_model(file, label):
    for load in (lambda text: load_model(text, 4, "cpu"), scale_of):
        with pytest.raises(SRBenchError) as caught:
            load(f"{label}{file}")
        listed = "classes Deep, Block, Net and the function make"
        assert str(caught.value) == f"{file} has the {listed}; write {file}:Deep"


def test_a_file_as_a_metric(file):
    with pytest.raises(SRBenchError, match=r"net\.py has the class MAE and the function make; write .*net\.py:MAE$"):
        load_metric(str(file))


def test_a_file_as_a_dataset(file):
    spec = RunSpec(models=("bicubic",), scale=4, data=str(file))
    with pytest.raises(SRBenchError, match=r"the class Stripes and the function make; write .*net\.py:Stripes$"):
        open_dataset(spec)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("x = 1\n", "has no class or function that could be one of models"),
        ("def f(:\n", r"Python cannot read it \(line 1: .*\); correct it"),
        ("x = '\0'\n", "Python cannot read it"),
        ("def only(): ...\n", r"has the function only; write .*net\.py:only$"),
        (None, "no such file; a plug-in is named as path/to/file.py:Name"),
    ],
)
def test_a_file_without_models(tmp_path, content, fault):
    if content is not None:
        (tmp_path / "net.py").write_text(content)
    with pytest.raises(SRBenchError, match=fault) as caught:
        load_model(str(tmp_path / "net.py"), 4, "cpu")
    assert "\n" not in str(caught.value)
