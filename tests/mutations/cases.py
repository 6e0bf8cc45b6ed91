"""Ways to change a number, and changes that touch none: files before and after, and what the command asks for."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from srbench.images.io import encode_png

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

BUFFER = """def __init__(self):
        super().__init__()
        self.register_buffer("b", {})
"""


def array(value: float) -> bytes:
    """A file of NumPy with a number."""
    file = io.BytesIO()
    np.save(file, np.array(value))
    return file.getvalue()


def weights(value: float) -> bytes:
    """Weights of a layer as a file of torch."""
    file = io.BytesIO()
    torch.save({"weight": torch.full((1, 1), value), "bias": torch.zeros(1)}, file)
    return file.getvalue()


def safe(value: float) -> bytes:
    """The same in the format of safetensors."""
    return save({"weight": torch.tensor([value])})


def distribution(version: str, helper: str, factor: str = "1.0") -> dict[str, str]:
    """Two modules without a package, installed as one wheel."""
    return {
        "site-packages/lone3.py": model(f"from lone3_helper import GAIN; return {factor} * GAIN"),
        "site-packages/lone3_helper.py": helper,
        "site-packages/lone.dist-info/METADATA": f"Metadata-Version: 2.1\nName: lone\nVersion: {version}\n",
        "site-packages/lone.dist-info/RECORD": "lone3.py,sha256=a,1\nlone3_helper.py,sha256=b,1\n",
    }


def library(version: str, gain: str) -> dict[str, str]:
    """An installed library."""
    return {
        "site-packages/lib4.py": f"GAIN = {gain}\n",
        "site-packages/lib4.dist-info/METADATA": f"Metadata-Version: 2.1\nName: lib4\nVersion: {version}\n",
        "site-packages/lib4.dist-info/RECORD": "lib4.py,sha256=a,1\n",
    }


def png(seed: int, height: int = 24, width: int = 28) -> bytes:
    """An image file of soft random colours."""
    small = torch.rand((1, 3, height // 4, width // 4), generator=torch.Generator().manual_seed(seed))
    return encode_png(torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0].clamp(0, 1))


def of_run(name: str, before: Any = None, after: Any = None, file: str = "unused", **more: Any) -> Case:
    """A change of the data or of the request, seen by bicubic unless other models are named."""
    files = {"data/a.png": png(1), **more.pop("files", {})} | ({} if before is None else {file: before})
    spec = {"data": "data"} | more.pop("spec", {})
    return Case(name, files, {} if after is None else {file: after}, models=more.pop("models", ("bicubic",)),
                spec=spec, **more)  # fmt: skip


def of_metric(name: str, before: str, after: str, gain: str = "", body: str = "", **more: Any) -> Case:
    """A file ``gain.txt`` or a module that is changed, read by a metric in its own way."""
    file = more.pop("file", "gain.txt")
    text = metric(gain, body=body)
    if more.pop("parameters", False):
        text = text.replace('protocol="a test"', 'protocol="a test", parameters=(HERE / "gain.txt",)').replace(
            "self.k", 'float((HERE / "gain.txt").read_text())'
        )
    return Case(
        name, {"mine.py": text, file: before}, {file: after}, models=("bicubic",), metrics=("mine.py:Mine",), **more
    )


OF_MODELS = [
    Case("its source", {"my.py": model("return 1.0")}, {"my.py": model("return 0.5")}),
    of_model("a helper beside it", *CODE, "from gain import GAIN; return GAIN", file="gain.py"),
    of_model("a helper imported at the top", *CODE, "return GAIN", top="from gain import GAIN", file="gain.py"),
    of_model(
        "a helper by importlib",
        *CODE,
        'import importlib; return importlib.import_module("ga" + "in").GAIN',
        file="gain.py",
    ),
    of_model(
        "a helper in a package beside it",
        *CODE,
        "from pack.gain import GAIN; return GAIN",
        file="pack/gain.py",
        files={"pack/__init__.py": ""},
    ),
    of_model(
        "code that is executed",
        *CODE,
        'return runpy.run_path(HERE / "gain.py")["GAIN"]',
        top="import runpy",
        file="gain.py",
    ),
    of_model(
        "a folder on sys.path",
        *CODE,
        "return GAIN",
        file="../elsewhere1/gain_elsewhere.py",
        top='sys.path.append(str(HERE.parent / "elsewhere1"))\nfrom gain_elsewhere import GAIN',
    ),
    of_model(
        "a folder on sys.path in the call",
        *CODE,
        "import gain_elsewhere2 as g; return g.GAIN",
        body='sys.path.append(str(HERE.parent / "elsewhere2"))',
        file="../elsewhere2/gain_elsewhere2.py",
    ),
    of_model(
        "a folder on sys.path by importlib",
        *CODE,
        'import importlib; return importlib.import_module("gain_" + "elsewhere3").GAIN',
        body='sys.path.append(str(HERE.parent / "elsewhere3"))',
        file="../elsewhere3/gain_elsewhere3.py",
    ),
    of_model(
        "a file read when it is imported", *VALUES, "return GAIN", top='GAIN = float((HERE / "gain.txt").read_text())'
    ),
    of_model(
        "a file read when it is made",
        *VALUES,
        "return self.value",
        body=f'{INIT} self.value = float((HERE / "gain.txt").read_text())',
    ),
    of_model("a file read in the call", *VALUES, READ),
    of_model(
        "a file read by a thread",
        *VALUES,
        "from concurrent.futures import ThreadPoolExecutor as T; return T(1).submit(self.read).result()",
        body='def read(self): return float((HERE / "gain.txt").read_text())',
    ),
    of_model("a file read by os.open", *VALUES, 'return float(os.read(os.open(HERE / "gain.txt", os.O_RDONLY), 9))'),
    of_model(
        "a file behind a Path",
        *VALUES,
        "return float(self.path.read_text())",
        body=f'{INIT} self.path = HERE / "gain.txt"',
    ),
    of_model(
        "a file of another folder",
        *VALUES,
        'return float((HERE.parent / "else4" / "gain.txt").read_text())',
        file="../else4/gain.txt",
    ),
    Case(
        "a file that was not there",
        {"my.py": model('p = HERE / "no.txt"; return 0.5 if p.exists() else 1.0')},
        {"no.txt": "1"},
    ),
    Case("a file more in a folder", {"my.py": model('return 1 / len(os.listdir(HERE / "d"))'), "d/a": ""}, {"d/b": ""}),
    of_model("weights of numpy", array(1.0), array(0.5), 'return float(np.load(HERE / "w.npy"))', file="w.npy"),
    of_model(
        "weights of torch in a plain class",
        weights(1.0),
        weights(0.5),
        "return self.net.weight.item()",
        file="w.pt",
        body=f"{INIT}\n        self.net = torch.nn.Linear(1, 1)\n"
        '        self.net.load_state_dict(torch.load(HERE / "w.pt"))',
    ),
    of_model(
        "weights of safetensors",
        safe(1.0),
        safe(0.5),
        "return self.w.item()",
        file="w.safetensors",
        body=f"{INIT}\n        from safetensors.torch import load_file\n"
        '        self.w = load_file(HERE / "w.safetensors")["weight"]',
    ),
    of_model(
        "weights of safetensors in the call",
        safe(1.0),
        safe(0.5),
        'from safetensors.torch import load_file; return load_file(HERE / "w.safetensors")["weight"].item()',
        file="w.safetensors",
    ),
    of_model(
        "a persistent buffer",
        *VALUES,
        "return self.b",
        base="torch.nn.Module",
        body=BUFFER.format('torch.tensor(float((HERE / "gain.txt").read_text()))'),
    ),
    of_model(
        "a buffer that is not persistent",
        *VALUES,
        "return self.b",
        base="torch.nn.Module",
        body=BUFFER.format('torch.tensor(float((HERE / "gain.txt").read_text())), persistent=False'),
    ),
    of_model(
        "an environment variable",
        "",
        "",
        'return float(os.environ["SRTEST_GAIN"])',
        file="unused",
        environ={"SRTEST_GAIN": "1.0"},
        environ_after={"SRTEST_GAIN": "0.5"},
    ),
    of_model(
        "an environment variable that was not set",
        "",
        "",
        'return float(os.getenv("SRTEST_GAIN", "1.0"))',
        file="unused",
        environ_after={"SRTEST_GAIN": "0.5"},
    ),
    of_model(
        "an environment variable when it is imported",
        "",
        "",
        "return GAIN",
        file="unused",
        top='GAIN = float(os.environ.get("SRTEST_GAIN"))',
        environ={"SRTEST_GAIN": "1.0"},
        environ_after={"SRTEST_GAIN": "0.5"},
    ),
    of_model(
        "another program",
        *VALUES,
        'return float(subprocess.check_output(["cat", HERE / "gain.txt"]))',
        top="import subprocess",
    ),
    of_model(
        "an object that nobody can look into",
        *VALUES,
        "return next(self.values)",
        body=f'{INIT} self.values = (float(open(HERE / n).read()) for n in ["gain.txt"] * 99)',
    ),
    Case(
        "a module on PYTHONPATH",
        {"lone1.py": model("from gain import GAIN; return GAIN"), "gain.py": CODE[0]},
        {"gain.py": CODE[1]},
        models=("m=lone1:Model",),
        path=(".",),
    ),
    Case(
        "a package on PYTHONPATH",
        {
            "pack2/__init__.py": "",
            "pack2/my.py": model('import importlib; return importlib.import_module("pack2.ga" + "in").GAIN'),
            "pack2/gain.py": CODE[0],
        },
        {"pack2/gain.py": CODE[1]},
        models=("m=pack2.my:Model",),
        path=(".",),
    ),
    Case(
        "two modules of one distribution",
        distribution("1", CODE[0]),
        distribution("1", CODE[1]),
        models=("m=lone3:Model",),
        path=("site-packages",),
    ),
    Case(
        "a distribution of another version",
        distribution("1", CODE[0], "1.0"),
        distribution("2", CODE[0], "0.5"),
        models=("m=lone3:Model",),
        path=("site-packages",),
    ),
    Case(
        "a library of another version",
        {"my.py": model("import lib4; return lib4.GAIN"), **library("1", "1.0")},
        library("2", "0.5"),
        path=("site-packages",),
    ),
]
OF_METRICS = [
    of_metric("a metric's source", metric("return 1.0"), metric("return 2.0"), file="mine.py"),
    of_metric("a metric's helper", *CODE, gain="from gain import GAIN; return GAIN", file="gain.py"),
    of_metric("a metric's file", *VALUES, gain=READ),
    of_metric(
        "a metric's file when it is made",
        *VALUES,
        gain="return self.k",
        body=f'{INIT} self.k = float((HERE / "gain.txt").read_text())',
    ),
    of_metric("a metric's parameters", *VALUES, gain="return self.k", parameters=True),
    of_metric(
        "a metric's environment variable",
        "",
        "",
        gain='import os; return float(os.environ["SRTEST_GAIN"])',
        environ={"SRTEST_GAIN": "1.0"},
        environ_after={"SRTEST_GAIN": "0.5"},
    ),
    of_metric(
        "a metric of unknown state",
        *VALUES,
        gain="return next(self.k)",
        body=f'{INIT} self.k = (float((HERE / "gain.txt").read_text()) for _ in range(99))',
    ),
]
