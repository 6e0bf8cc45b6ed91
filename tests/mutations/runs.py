"""Changes of the data and of the request, and changes that touch no number."""

from __future__ import annotations

from mutations.cases import CODE, READ, VALUES, of_metric, of_model, of_run, png

RESULTS = """
from pathlib import Path

from srbench.images.io import read_image


class Results:
    scale = 2

    def __call__(self, lr):
        return read_image(Path(__file__).parent / "theirs" / "a.png")[None, :, : 2 * lr.shape[-2], : 2 * lr.shape[-1]]
"""
NOISE = """
import torch


class Noise:
    scale = 2

    def sample(self, lr, n, *, temperature, generator):
        up = lr[None].repeat_interleave(2, -1).repeat_interleave(2, -2)
        return up + temperature * torch.randn((n, *up.shape[1:]), generator=generator)
"""
SCALABLE = """
import torch


class Any:
    def __init__(self, scale, weights=None):
        self.scale, self.gain = scale, 1.0 if weights is None else float(weights.read_text())

    def __call__(self, lr):
        return self.gain * lr.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)
"""
DATASET = """
from pathlib import Path

from srbench.data.datasets import Folder
from srbench.interfaces import ImagePair


class Data:
    def __init__(self, scale):
        self.name, self.folder = "mine", Folder(Path(__file__).parent / "data", scale)

    def __len__(self):
        return len(self.folder)

    def __iter__(self):
        return iter(self.folder)

    def read(self, name):
        pair = self.folder.read(name)
        return ImagePair(name, pair.lr.flip({flip}), pair.hr)

    def digest(self, name):
        return self.folder.digest(name)
"""
SUITE = 'name = "mine"\nversion = {}\nmetrics = ["psnr{}"]\nquantize = "{}"\n'
DEGRADATION = 'name = "mine"\nversion = 1\nabout = ""\n\n[[steps]]\nkind = "downscale"\nby = "{}"\n'
NOISY = {"models": ("m=noise.py:Noise",), "files": {"noise.py": NOISE}}
OF_RUNS = [
    of_run("an HR image", png(1), png(2), "data/a.png"),
    of_run("an LR image", png(5, 12, 14), png(6, 12, 14), "lr/a.png", spec={"data": None, "hr": "data", "lr": "lr"}),
    of_run(
        "the code of a dataset",
        DATASET.format(flip=-1),
        DATASET.format(flip=-2),
        "mydata.py",
        spec={"data": "mydata.py:Data"},
    ),
    of_run(
        "a degradation of one's own",
        DEGRADATION.format("torch"),
        DEGRADATION.format("pillow"),
        "d.toml",
        spec={"degrade": "d.toml"},
    ),
    of_run("a degradation", spec_after={"degrade": "bicubic-torch"}),
    of_run(
        "a suite's column",
        SUITE.format(1, "", "floor"),
        SUITE.format(1, "+border=4", "floor"),
        "s.toml",
        metrics=None,
        spec={"suite": "s.toml"},
    ),
    of_run(
        "a suite's rounding",
        SUITE.format(1, "", "floor"),
        SUITE.format(1, "", "round"),
        "s.toml",
        metrics=None,
        spec={"suite": "s.toml"},
    ),
    of_run("a metric's parameter", spec_after={"metrics": ("psnr+channels=Y",)}),
    of_run("the crop", spec_after={"crop": 16}),
    of_run("the scale", spec_after={"scale": 4}, models=("m=any.py:Any",), files={"any.py": SCALABLE}),
    of_run("the tile", spec_after={"tile": 16}, files={"data/a.png": png(1, 80, 80)}),
    of_run("the seed", spec_after={"seed": 1}, **NOISY),
    of_run("the samples", spec_after={"samples": 3}, metrics=("sigma",), **NOISY),
    of_run("the temperature", spec_after={"temperature": (0.4,)}, **NOISY),
    of_run(
        "a projection",
        spec_after={"models": ("m=any.py:Any+consistent",)},
        models=("m=any.py:Any",),
        files={"any.py": SCALABLE},
    ),
    of_run("results made elsewhere", png(3), png(4), "theirs/a.png", models=("theirs=theirs",)),
    of_run(
        "results of one's own reading",
        png(3),
        png(4),
        "theirs/a.png",
        models=("m=any.py:Results",),
        files={"any.py": RESULTS},
    ),
]

INNOCENT = [
    of_model("a library's file", "a", "b", "return 1.0", file="site-packages/x.py"),
    of_model("a text beside the model", "a", "b", "return 1.0"),
    of_model("another variable", "", "", "return 1.0", file="unused", environ_after={"SRTEST_OTHER": "1"}),
    of_model("a variable that others read", "", "", "return 1.0", file="unused", environ_after={"COLUMNS": "99"}),
    of_model("code of a hidden folder", *CODE, "return 1.0", file=".hidden/x.py"),
    of_model("a virtual environment", *CODE, "return 1.0", file="v/lib/x.py", files={"v/pyvenv.cfg": ""}),
    of_model("line ends", "GAIN = 1.0\n", "GAIN = 1.0\r\n", "from gain import GAIN; return GAIN", file="gain.py"),
    of_model(
        "a file that is written",
        "",
        "",
        '\n        with open(HERE / "log.txt", "a") as f: f.write("x")\n        return 1.0',
        file="unused",
    ),
    of_model("a file that is not read", *VALUES, "return 1.0", file="data/gain.txt"),
    of_model("fewer images", "", "", "return 1.0", file="unused", spec={"limit": 2}, spec_after={"limit": 1}),
    of_model(
        "another order of models",
        "",
        "",
        "return 1.0",
        file="unused",
        models=("m=my.py:Model", "bicubic"),
        spec_after={"models": ("bicubic", "m=my.py:Model")},
    ),
    of_model(
        "fewer models",
        "",
        "",
        "return 1.0",
        file="unused",
        models=("m=my.py:Model", "bicubic"),
        spec_after={"models": ("m=my.py:Model",)},
    ),
    of_model(
        "another name of the same file",
        "",
        "",
        "return 1.0",
        file="unused",
        spec_after={"models": ("m=./my.py:Model",)},
    ),
    of_model("the same file read again", *VALUES[:1], VALUES[0], READ),
    of_model("a cache beside it", "", "", "return 1.0", file="__pycache__/x.py"),
    of_model(
        "a network of its own",
        "",
        "",
        "return self.w",
        file="unused",
        base="torch.nn.Module",
        body="def __init__(self):\n        super().__init__()\n        self.w = torch.nn.Parameter(torch.ones(1))",
    ),
    of_model("a set of texts", "", "", "return 1.0", file="unused", body='names = {"a", "b", "c", "d", "e"}'),
    of_model(
        "a file of a thread",
        *VALUES[:1],
        VALUES[0],
        "return T(1).submit(self.read).result()",
        top="from concurrent.futures import ThreadPoolExecutor as T",
        body='def read(self): return float((HERE / "gain.txt").read_text())',
    ),
    of_metric("an untouched metric", *VALUES[:1], VALUES[0], gain=READ),
    of_run("an image that is not asked for", png(3), png(4), "data/b.png"),
]
