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

class Mine:
    facts = MetricFacts(name="mine", title="Mine", direction=1, protocol="a test"{facts})
    {body}

    def __call__(self, samples, pair):
        return samples.mean(dim=(1, 2, 3)) * self.gain()

    def gain(self):
        {gain}
"""
NUMBER = 'float((HERE / "gain.txt").read_text())'
READ = f"return {NUMBER}"
IMPORT = "from gain import GAIN; return GAIN"
INIT = "def __init__(self):"
BUFFER = f"""{INIT}
        super().__init__()
        self.register_buffer("b", torch.tensor({NUMBER}){{}})
"""
CODE = ("GAIN = 1.0\n", "GAIN = 0.5\n")
TEXT = ("gain.txt", "1.0", "0.5")
"""A file before and after a change, as HELPER is."""
HELPER = ("gain.py", *CODE)
VARIABLE = {"environ": {"SRTEST_GAIN": "1.0"}, "environ_after": {"SRTEST_GAIN": "0.5"}}


def model(gain: str = "return 1.0", top: str = "", body: str = "", base: str = "") -> str:
    """Source of a model whose outputs are multiplied by a gain."""
    call = "forward" if "Module" in base else "__call__"
    return MODEL.format(gain=gain, top=top, body=body, base=base, call=call)


@dataclass(frozen=True)
class Case:
    """Files by name before a change, those that are others after it, and a command."""

    name: str
    files: dict[str, Any]
    after: dict[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ("m=my.py:Model",)
    metrics: tuple[str, ...] = ("psnr",)
    spec: dict[str, Any] = field(default_factory=dict)
    spec_after: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    environ_after: dict[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    """Folders for ``sys.path``, as in PYTHONPATH."""


Change = tuple[str, Any, Any] | None


def of_files(name: str, files: dict[str, Any], change: Change, **more: Any) -> Case:
    """Files of which one is changed, or none."""
    file, before, after = change or (None, None, None)
    return Case(name, files | {file: before}, {file: after}, **more) if file else Case(name, files, **more)


def of_model(
    name: str,
    gain: str = "return 1.0",
    change: Change = None,
    top: str = "",
    body: str = "",
    base: str = "",
    files: dict[str, Any] | None = None,
    **more: Any,
) -> Case:
    """A change that a model sees by its gain, in its own way, or does not see."""
    return of_files(name, {"my.py": model(gain, top, body, base)} | (files or {}), change, **more)


def of_metric(name: str, gain: str, change: Change = None, body: str = "", facts: str = "", **more: Any) -> Case:
    """A change that a metric sees by its gain, or does not see."""
    files = {"mine.py": METRIC.format(gain=gain, body=body, facts=facts)}
    return of_files(name, files, change, models=("bicubic",), metrics=("mine.py:Mine",), **more)


def of_run(name: str, change: Change = None, files: dict[str, Any] | None = None, **more: Any) -> Case:
    """A change of the data or of the request, seen by bicubic unless other models are named."""
    spec = {"data": "data"} | more.pop("spec", {})
    return of_files(name, {"data/a.png": png(1)} | (files or {}), change, spec=spec, **{"models": ("bicubic",)} | more)


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


def distribution(version: str, **modules: str) -> dict[str, str]:
    """Modules without a package, installed as one wheel."""
    return {f"site-packages/{name}.py": code for name, code in modules.items()} | {
        "site-packages/wheel4.dist-info/METADATA": f"Metadata-Version: 2.1\nName: wheel4\nVersion: {version}\n",
        "site-packages/wheel4.dist-info/RECORD": "".join(f"{name}.py,sha256=a,1\n" for name in modules),
    }


def png(seed: int, height: int = 24, width: int = 28) -> bytes:
    """An image file of soft random colours."""
    small = torch.rand((1, 3, height // 4, width // 4), generator=torch.Generator().manual_seed(seed))
    return encode_png(torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0].clamp(0, 1))


LONE = model("from lone3_helper import GAIN; return GAIN")
LONE_HALVED = model("from lone3_helper import GAIN; return 0.5 * GAIN")
INSTALLED = {"path": ("site-packages",)}
OF_MODELS = [
    of_model("its source", change=("my.py", model("return 1.0"), model("return 0.5"))),
    of_model("a helper beside it", IMPORT, HELPER),
    of_model("a helper imported at the top", "return GAIN", HELPER, top="from gain import GAIN"),
    of_model("a helper by importlib", 'import importlib; return importlib.import_module("ga" + "in").GAIN', HELPER),
    of_model(
        "a helper in a package beside it",
        "from pack.gain import GAIN; return GAIN",
        ("pack/gain.py", *CODE),
        files={"pack/__init__.py": ""},
    ),
    of_model("code that is executed", 'return runpy.run_path(HERE / "gain.py")["GAIN"]', HELPER, top="import runpy"),
    of_model(
        "a folder on sys.path",
        "return GAIN",
        ("../elsewhere1/gain_elsewhere.py", *CODE),
        top='sys.path.append(str(HERE.parent / "elsewhere1"))\nfrom gain_elsewhere import GAIN',
    ),
    of_model(
        "a folder on sys.path in the call",
        "import gain_elsewhere2 as g; return g.GAIN",
        ("../elsewhere2/gain_elsewhere2.py", *CODE),
        body='sys.path.append(str(HERE.parent / "elsewhere2"))',
    ),
    of_model(
        "a folder on sys.path by importlib",
        'import importlib; return importlib.import_module("gain_" + "elsewhere3").GAIN',
        ("../elsewhere3/gain_elsewhere3.py", *CODE),
        body='sys.path.append(str(HERE.parent / "elsewhere3"))',
    ),
    of_model("a file read when it is imported", "return GAIN", TEXT, top=f"GAIN = {NUMBER}"),
    of_model("a file read when it is made", "return self.value", TEXT, body=f"{INIT} self.value = {NUMBER}"),
    of_model("a file read in the call", READ, TEXT),
    of_model(
        "a file read by a thread",
        "from concurrent.futures import ThreadPoolExecutor as T; return T(1).submit(self.read).result()",
        TEXT,
        body=f"def read(self): {READ}",
    ),
    of_model("a file read by os.open", 'return float(os.read(os.open(HERE / "gain.txt", os.O_RDONLY), 9))', TEXT),
    of_model(
        "a file behind a Path",
        "return float(self.path.read_text())",
        TEXT,
        body=f'{INIT} self.path = HERE / "gain.txt"',
    ),
    of_model(
        "a file of another folder",
        'return float((HERE.parent / "else4" / "gain.txt").read_text())',
        ("../else4/gain.txt", *TEXT[1:]),
    ),
    Case(
        "a file that was not there",
        {"my.py": model('p = HERE / "no.txt"; return 0.5 if p.exists() else 1.0')},
        {"no.txt": "1"},
    ),
    Case("a file more in a folder", {"my.py": model('return 1 / len(os.listdir(HERE / "d"))'), "d/a": ""}, {"d/b": ""}),
    of_model("weights of numpy", 'return float(np.load(HERE / "w.npy"))', ("w.npy", array(1.0), array(0.5))),
    of_model(
        "weights of torch in a plain class",
        "return self.net.weight.item()",
        ("w.pt", weights(1.0), weights(0.5)),
        body=f"{INIT}\n        self.net = torch.nn.Linear(1, 1)\n"
        '        self.net.load_state_dict(torch.load(HERE / "w.pt"))',
    ),
    of_model(
        "weights of safetensors",
        "return self.w.item()",
        ("w.safetensors", safe(1.0), safe(0.5)),
        body=f"{INIT}\n        from safetensors.torch import load_file\n"
        '        self.w = load_file(HERE / "w.safetensors")["weight"]',
    ),
    of_model(
        "weights of safetensors in the call",
        'from safetensors.torch import load_file; return load_file(HERE / "w.safetensors")["weight"].item()',
        ("w.safetensors", safe(1.0), safe(0.5)),
    ),
    of_model("a persistent buffer", "return self.b", TEXT, base="torch.nn.Module", body=BUFFER.format("")),
    of_model(
        "a buffer that is not persistent",
        "return self.b",
        TEXT,
        base="torch.nn.Module",
        body=BUFFER.format(", persistent=False"),
    ),
    of_model("an environment variable", 'return float(os.environ["SRTEST_GAIN"])', **VARIABLE),
    of_model(
        "an environment variable that was not set",
        'return float(os.getenv("SRTEST_GAIN", "1.0"))',
        environ_after={"SRTEST_GAIN": "0.5"},
    ),
    of_model(
        "an environment variable when it is imported",
        "return GAIN",
        top='GAIN = float(os.environ.get("SRTEST_GAIN"))',
        **VARIABLE,
    ),
    of_model(
        "another program",
        'return float(subprocess.check_output(["cat", HERE / "gain.txt"]))',
        TEXT,
        top="import subprocess",
    ),
    of_model(
        "an object that nobody can look into",
        "return next(self.values)",
        TEXT,
        body=f'{INIT} self.values = (float(open(HERE / n).read()) for n in ["gain.txt"] * 99)',
    ),
    of_files("a module on PYTHONPATH", {"lone1.py": model(IMPORT)}, HELPER, models=("m=lone1:Model",), path=(".",)),
    of_files(
        "a package on PYTHONPATH",
        {
            "pack2/__init__.py": "",
            "pack2/my.py": model('import importlib; return importlib.import_module("pack2.ga" + "in").GAIN'),
        },
        ("pack2/gain.py", *CODE),
        models=("m=pack2.my:Model",),
        path=(".",),
    ),
    Case(
        "two modules of one distribution",
        distribution("1", lone3=LONE, lone3_helper=CODE[0]),
        distribution("1", lone3=LONE, lone3_helper=CODE[1]),
        models=("m=lone3:Model",),
        **INSTALLED,
    ),
    Case(
        "a distribution of another version",
        distribution("1", lone3=LONE, lone3_helper=CODE[0]),
        distribution("2", lone3=LONE_HALVED, lone3_helper=CODE[0]),
        models=("m=lone3:Model",),
        **INSTALLED,
    ),
    Case(
        "a library of another version",
        {"my.py": model("import lib4; return lib4.GAIN"), **distribution("1", lib4="GAIN = 1.0\n")},
        distribution("2", lib4="GAIN = 0.5\n"),
        **INSTALLED,
    ),
]
OF_METRICS = [
    of_metric(
        "a metric's source",
        "return 1.0",
        ("mine.py", *(METRIC.format(gain=gain, body="", facts="") for gain in ("return 1.0", "return 2.0"))),
    ),
    of_metric("a metric's helper", IMPORT, HELPER),
    of_metric("a metric's file", READ, TEXT),
    of_metric("a metric's file when it is made", "return self.k", TEXT, body=f"{INIT} self.k = {NUMBER}"),
    of_metric("a metric's parameters", READ, TEXT, facts=', parameters=(HERE / "gain.txt",)'),
    of_metric("a metric's environment variable", 'import os; return float(os.environ["SRTEST_GAIN"])', **VARIABLE),
    of_metric(
        "a metric of unknown state", "return next(self.k)", TEXT, body=f"{INIT} self.k = ({NUMBER} for _ in range(99))"
    ),
]
