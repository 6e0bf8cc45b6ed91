"""Ways to change a number, and changes that touch none: files before and after, and what the command asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MODEL = """
import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).parent
{top}

class Model({base}):
    scale = 2
    {body}

    def upscaled(self, lr):
        return F.interpolate(lr, scale_factor=2)

    def {call}(self, lr):
        return self.upscaled(lr) * self.gain()

    def gain(self):
        {gain}
"""
METRIC = """
from pathlib import Path

from srbench.interfaces import MetricFacts

HERE = Path(__file__).parent
{top}

class Mine:
    facts = MetricFacts(name="mine", title="Mine", direction=1, protocol="a test")
    {body}

    def __call__(self, samples, pair):
        return samples.mean(dim=(1, 2, 3)) * self.gain()

    def gain(self):
        {gain}
"""
NET = "class Net(torch.nn.Module):"


def model(gain: str = "return 1.0", top: str = "", body: str = "", base: str = "") -> str:
    """Source of a model whose outputs are multiplied by a gain."""
    call = "forward" if "Module" in base else "__call__"
    return MODEL.format(gain=gain, top=top, body=body, base=base, call=call)


def metric(gain: str = "return 1.0", top: str = "", body: str = "") -> str:
    """Source of a metric whose values are multiplied by a gain."""
    return METRIC.format(gain=gain, top=top, body=body)


@dataclass(frozen=True)
class Case:
    """Files by name before a change, those that are others after it, and a command."""

    name: str
    files: dict[str, Any]
    after: dict[str, Any] = field(default_factory=dict)
    """Changed files; None: removed."""
    models: tuple[str, ...] = ("m=my.py:Model",)
    metrics: tuple[str, ...] = ("psnr",)
    spec: dict[str, Any] = field(default_factory=dict)
    spec_after: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    environ_after: dict[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    """Folders for ``sys.path``, as in PYTHONPATH."""


def of_model(name: str, before: str, after: str, gain: str, **more: Any) -> Case:
    """A file ``gain.txt`` or a module that is changed, read by a model in its own way."""
    texts = {key: more.pop(key) for key in ("top", "body", "base") if key in more}
    file = more.pop("file", "gain.txt")
    return Case(name, {"my.py": model(gain, **texts), file: before, **more.pop("files", {})}, {file: after}, **more)


READ = 'return float((HERE / "gain.txt").read_text())'
VALUES = ("1.0", "0.5")
CODE = ("GAIN = 1.0\n", "GAIN = 0.5\n")
INIT = "def __init__(self):"

OF_MODELS = [
    Case("its source", {"my.py": model("return 1.0")}, {"my.py": model("return 0.5")}),
    of_model("a helper beside it", *CODE, "from gain import GAIN; return GAIN", file="gain.py"),
    of_model("a helper imported at the top", *CODE, "return GAIN", top="from gain import GAIN", file="gain.py"),
    of_model("a helper by importlib", *CODE, 'import importlib; return importlib.import_module("ga" + "in").GAIN',
             file="gain.py"),
    of_model("a helper in a package beside it", *CODE, "from pack.gain import GAIN; return GAIN", file="pack/gain.py",
             files={"pack/__init__.py": ""}),
    of_model("code that is executed", *CODE, 'return runpy.run_path(HERE / "gain.py")["GAIN"]', top="import runpy",
             file="gain.py"),
    of_model("a folder on sys.path", *CODE, "return GAIN", file="../elsewhere1/gain_elsewhere.py",
             top='sys.path.append(str(HERE.parent / "elsewhere1"))\nfrom gain_elsewhere import GAIN'),
    of_model("a folder on sys.path, in the call", *CODE, "import gain_elsewhere2 as g; return g.GAIN",
             body='sys.path.append(str(HERE.parent / "elsewhere2"))', file="../elsewhere2/gain_elsewhere2.py"),
    of_model("a folder on sys.path by importlib", *CODE,
             'import importlib; return importlib.import_module("gain_" + "elsewhere3").GAIN',
             body='sys.path.append(str(HERE.parent / "elsewhere3"))', file="../elsewhere3/gain_elsewhere3.py"),
    of_model("a file read when it is imported", *VALUES, "return GAIN",
             top='GAIN = float((HERE / "gain.txt").read_text())'),
    of_model("a file read when it is made", *VALUES, "return self.value",
             body=f'{INIT} self.value = float((HERE / "gain.txt").read_text())'),
    of_model("a file read in the call", *VALUES, READ),
    of_model("a file read by a thread", *VALUES,
             "from concurrent.futures import ThreadPoolExecutor as T; return T(1).submit(self.read).result()",
             body='def read(self): return float((HERE / "gain.txt").read_text())'),
    of_model("a file read by os.open", *VALUES, 'return float(os.read(os.open(HERE / "gain.txt", os.O_RDONLY), 9))'),
    of_model("a file behind a Path", *VALUES, "return float(self.path.read_text())",
             body=f'{INIT} self.path = HERE / "gain.txt"'),
    of_model("a file of another folder", *VALUES, 'return float((HERE.parent / "else4" / "gain.txt").read_text())',
             file="../else4/gain.txt"),
    Case("a file that was not there", {"my.py": model('p = HERE / "no.txt"; return 0.5 if p.exists() else 1.0',
         body='def look(self): open(HERE / "no.txt")')}, {"no.txt": "1"}),
]  # fmt: skip
