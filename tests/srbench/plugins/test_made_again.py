"""What makes the rows of a plug-in again, and what does not: a table of changes, which docs/add-your-own.md has in short.

Every file of the folder has the same time before and after a change, and a changed file the same size wherever its
content allows that, so only contents count.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import pytest
import torch
from builders import drawn
from safetensors.torch import save
from torch import tensor

from srbench.benchmark.run import run
from srbench.images.io import write_png
from srbench.models.loading import load_model
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

MODEL = """
import importlib
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
GAIN = 1.0
{top}


class Mine({base}):
    scale = 2

    def __init__(self):
        super().__init__()
        {init}

    {before_call}
    def __call__(self, lr):
        {body}
        return {gain} * lr.repeat_interleave(2, -1).repeat_interleave(2, -2)

    {more}
"""
FILE = 'float((HERE / "gain.txt").read_text())'
VARIABLE = 'float(os.environ["SRTEST_GAIN"])'


def model(top="", init="pass", body="pass", gain="GAIN", base="object", more="", before_call=""):
    return MODEL.format(top=top, init=init, body=body, gain=gain, base=base, more=more, before_call=before_call)


BESIDE = {
    "gain.txt": "1.0",
    "README.md": "gain 1",
    "w.safetensors": save({"gain": tensor([1.0])}),
    "other.safetensors": save({"gain": tensor([1.0])}),
    "srtest_gain.py": "GAIN = 1.0\n",
    "srtest_first.py": "from srtest_gain import GAIN\n",
    "srtest_decorator.py": "def scaled(function):\n    return lambda *images: 1.0 * function(*images)\n",
    "srtest_pack/__init__.py": "",
    "srtest_pack/gain.py": "GAIN = 1.0\n",
    "srtest_folder/gain.py": "GAIN = 1.0\n",
    "elsewhere/srtest_far.py": "GAIN = 1.0\n",
    "srtest_reader.py": f"from pathlib import Path\nHERE = Path(__file__).parent\nGAIN = {FILE}\n",
}
"""Files beside the plug-in ``mine.py``."""


@dataclass(frozen=True)
class Change:
    """The plug-in, and a file or ``$VARIABLE`` after a change."""

    source: str
    name: str
    after: str | bytes
    weights: str = ""


FAR = 'sys.path.append(str(HERE / "elsewhere"))\nfrom srtest_far import GAIN'
LATE = 'GAIN = importlib.import_module("srtest_" + "gain").GAIN'
PATH = 'self.table = {"path": str(HERE / "gain.txt")}'
WEIGHTS = 'self.nets = [load_file(HERE / "w.safetensors")]'
ARRAY = f"self.gain = numpy.array([{FILE}])"
BUFFER = f'self.register_buffer("gain", torch.tensor({VARIABLE}), persistent=False)'
PARAMETER = f"self.gain = torch.nn.Parameter(torch.tensor({VARIABLE}))"
EMPTY = "self.gain = torch.nn.Parameter(torch.zeros(1))"
DIGEST = 'def digest(self): return os.environ["SRTEST_GAIN"]'
FIXED = 'def digest(self): return "1"'
HALF = save({"gain": tensor([0.5])})

MADE_AGAIN = {
    "the body of its class": Change(model(body="lr = lr * 1.0"), "mine.py", model(body="lr = lr * 0.5")),
    "a function of its file": Change(
        model("def gain(): return 1.0", gain="gain()"), "mine.py", model("def gain(): return 0.5", gain="gain()")
    ),
    "a constant of its file": Change(model(), "mine.py", model("GAIN = 0.5")),
    "a module beside it": Change(model("from srtest_gain import GAIN"), "srtest_gain.py", "GAIN = 0.5\n"),
    "a module imported when it is called": Change(
        model(body="from srtest_gain import GAIN"), "srtest_gain.py", "GAIN = 0.5\n"
    ),
    "a module that another one imports": Change(
        model("from srtest_first import GAIN"), "srtest_gain.py", "GAIN = 0.5\n"
    ),
    "a module of a package": Change(model("from srtest_pack.gain import GAIN"), "srtest_pack/gain.py", "GAIN = 0.5\n"),
    "a module of a folder": Change(
        model("from srtest_folder.gain import GAIN"), "srtest_folder/gain.py", "GAIN = 0.5\n"
    ),
    "a decorator": Change(
        model("from srtest_decorator import scaled", before_call="@scaled"),
        "srtest_decorator.py",
        BESIDE["srtest_decorator.py"].replace("1.0", "0.5"),
    ),
    "its checkpoint": Change(
        model(init=EMPTY, gain="self.gain.detach()", base="torch.nn.Module"), "w.safetensors", HALF, "w.safetensors"
    ),
    "weights that its code loads": Change(model(init=WEIGHTS, gain='self.nets[0]["gain"]'), "w.safetensors", HALF),
    "an array that it holds": Change(model("import numpy", init=ARRAY, gain="float(self.gain[0])"), "gain.txt", "0.5"),
    "a buffer": Change(model(init=BUFFER, gain="self.gain", base="torch.nn.Module"), "$SRTEST_GAIN", "0.5"),
    "a parameter": Change(
        model(init=PARAMETER, gain="self.gain.detach()", base="torch.nn.Module"), "$SRTEST_GAIN", "0.5"
    ),
    "the text of its digest()": Change(model(gain=VARIABLE, more=DIGEST), "$SRTEST_GAIN", "0.5"),
}
NOT_SEEN = {
    "a number from a file, read when it is called": Change(model(gain=FILE), "gain.txt", "0.5"),
    "a number from a file, read when it is made": Change(
        model(init=f"self.gain = {FILE}", gain="self.gain"), "gain.txt", "0.5"
    ),
    "a number from a file, read when it is imported": Change(model(f"GAIN = {FILE}"), "gain.txt", "0.5"),
    "a number from a file, read by a module": Change(model("from srtest_reader import GAIN"), "gain.txt", "0.5"),
    "a file whose path it holds": Change(
        model(init=PATH, gain='float(open(self.table["path"]).read())'), "gain.txt", "0.5"
    ),
    "a variable read when it is called": Change(model(gain=VARIABLE), "$SRTEST_GAIN", "0.5"),
    "a variable read when it is made": Change(
        model(init=f"self.gain = {VARIABLE}", gain="self.gain"), "$SRTEST_GAIN", "0.5"
    ),
    "a global changed when it is made": Change(model(init=f"global GAIN; GAIN = {VARIABLE}"), "$SRTEST_GAIN", "0.5"),
    "a module of another folder": Change(model(FAR), "elsewhere/srtest_far.py", "GAIN = 0.5\n"),
    "a module named at run time": Change(model(LATE), "srtest_gain.py", "GAIN = 0.5\n"),
    "its file, if digest() stands for it": Change(model(more=FIXED), "mine.py", model("GAIN = 0.5", more=FIXED)),
}
"""Changes of outputs that the rule does not see: ``--again`` makes them again, ``verify --resample`` tells."""
WITHOUT_EFFECT = {
    "a file that it does not read": Change(model(), "gain.txt", "0.5"),
    "a README": Change(model(), "README.md", "gain 2"),
    "a module that it does not import": Change(model(), "srtest_gain.py", "GAIN = 0.5\n"),
    "the checkpoint of another model": Change(
        model(init=EMPTY, gain="self.gain.detach()", base="torch.nn.Module"), "other.safetensors", HALF, "w.safetensors"
    ),
    "line ends": Change(model("from srtest_gain import GAIN"), "srtest_gain.py", "GAIN = 1.0\r\n"),
    "a variable that it does not read": Change(model(), "$SRTEST_GAIN", "0.5"),
}
NEEDLESSLY = {
    "a comment": Change(model(), "mine.py", model("# changed")),
    "another class of its file": Change(model(), "mine.py", model("class Other: ...")),
}
"""Changes that make equal outputs again."""


def write(folder, files, time=1_700_000_000):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (time, time))


@pytest.fixture
def loaded(tmp_path, monkeypatch, new_process):
    """Write a file or set a variable, load the plug-in as another process would; returns its digest and its output."""

    def call(name, content, weights=""):
        if name.startswith("$"):
            monkeypatch.setenv(name[1:], content)
        else:
            write(tmp_path, {name: content})
        new_process()
        text = f"{tmp_path / 'mine.py'}:Mine" + (f":{tmp_path / weights}" if weights else "")
        found = load_model(text, 2, "cpu")
        return found.digest, float(found.model(torch.ones(1, 3, 2, 2)).mean())

    monkeypatch.setenv("SRTEST_GAIN", "1.0")
    write(tmp_path, BESIDE)
    return call


@pytest.fixture
def plugin(tmp_path, monkeypatch, new_process):
    """Write files into a folder, and run its plug-in as a process of its own would."""
    write_png(tmp_path / "photos" / "a.png", drawn(0, 16, 16))
    models, facts = (f"mine={tmp_path / 'plugin' / 'mine.py'}:Mine",), {"metrics": ("psnr",), "device": "cpu"}
    request = RunSpec(models, 2, str(tmp_path / "photos"), out=str(tmp_path / "run"), **facts)

    def call(name, content, *, time=1_700_000_000, **changes):
        """Write a file or set a variable, run, and return the number of outputs made and the PSNR."""
        if name.startswith("$"):
            monkeypatch.setenv(name[1:], content)
        else:
            write(tmp_path / "plugin", {name: content}, time)
        new_process()
        outcome = run(replace(request, **changes))
        return outcome.sampled, measurements_of(RunFolder.read(outcome.folder))[0].values["psnr"]

    monkeypatch.setenv("SRTEST_GAIN", "1.0")
    write(tmp_path / "plugin", BESIDE)
    return call


@pytest.mark.parametrize("change", MADE_AGAIN.values(), ids=MADE_AGAIN)
def test_what_makes_another_model(loaded, change):
    before, output = loaded("mine.py", change.source, change.weights)
    assert loaded("README.md", "another process", change.weights) == (before, output)
    after, changed = loaded(change.name, change.after, change.weights)
    assert after != before
    assert changed == 0.5 * output


@pytest.mark.parametrize("change", NEEDLESSLY.values(), ids=NEEDLESSLY)
def test_what_makes_another_model_of_equal_outputs(loaded, change):
    before, output = loaded("mine.py", change.source)
    after, same = loaded(change.name, change.after)
    assert after != before
    assert same == output


@pytest.mark.parametrize("change", WITHOUT_EFFECT.values(), ids=WITHOUT_EFFECT)
def test_what_makes_no_other_model(loaded, change):
    before = loaded("mine.py", change.source, change.weights)
    assert loaded(change.name, change.after, change.weights) == before


def test_a_run_makes_its_outputs_again(plugin, tmp_path):
    change = MADE_AGAIN["a module imported when it is called"]
    made, before = plugin("mine.py", change.source)
    assert made == 1
    made, after = plugin(change.name, change.after)
    assert made == 1
    assert after != before
    assert plugin("README.md", "another process", out=str(tmp_path / "fresh")) == (1, after)
    assert plugin("README.md", "and another one") == (0, after)


@pytest.mark.parametrize("change", NOT_SEEN.values(), ids=NOT_SEEN)
def test_made_again_on_request_alone(plugin, tmp_path, change):
    _, before = plugin("mine.py", change.source)
    assert plugin(change.name, change.after) == (0, before)
    assert "sample-differs" in {finding.rule for finding in verify(tmp_path / "run", resample="all").findings}
    made, after = plugin("README.md", "another process", again=("mine",))
    assert made == 1
    assert after != before
    assert verify(tmp_path / "run", resample="all").proven


def test_a_newer_time_of_equal_bytes_makes_nothing_again(plugin):
    source = model("import srtest_reader\nfrom srtest_gain import GAIN", init=WEIGHTS)
    _, before = plugin("mine.py", source)
    for name in ("srtest_reader.py", "srtest_gain.py", "w.safetensors"):
        assert plugin(name, BESIDE[name], time=1_800_000_000) == (0, before)
    assert plugin("mine.py", source, time=1_800_000_000) == (0, before)
