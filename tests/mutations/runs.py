"""Changes of the data and of the request, and changes that touch no number."""

from __future__ import annotations

from builders import OWN_LR
from mutations.cases import CODE, IMPORT, INIT, READ, of_metric, of_model, of_run, png

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
DATASET = OWN_LR.replace('"photos"', '"data"')
SUITE = 'name = "mine"\nversion = 1\nmetrics = ["psnr{}"]\nquantize = "{}"\n'
DEGRADATION = 'name = "mine"\nversion = 1\nabout = ""\n\n[[steps]]\nkind = "downscale"\nby = "{}"\n'
NOISY = {"models": ("m=noise.py:Noise",), "files": {"noise.py": NOISE}}
OWN_SUITE = {"metrics": None, "spec": {"suite": "s.toml"}}
ANY = {"models": ("m=any.py:Any",), "files": {"any.py": SCALABLE}}
BOTH = ("m=my.py:Model", "bicubic")
SAME = ("gain.txt", "1.0", "1.0")
OF_RUNS = [
    of_run("an HR image", ("data/a.png", png(1), png(2))),
    of_run("an LR image", ("lr/a.png", png(5, 12, 14), png(6, 12, 14)), spec={"data": None, "hr": "data", "lr": "lr"}),
    of_run(
        "the code of a dataset",
        ("mydata.py", DATASET, DATASET.replace("flip(0)", "flip(-1)")),
        spec={"data": "mydata.py:OwnLR"},
    ),
    of_run(
        "a degradation of one's own",
        ("d.toml", DEGRADATION.format("torch"), DEGRADATION.format("pillow")),
        spec={"degrade": "d.toml"},
    ),
    of_run("a degradation", spec_after={"degrade": "bicubic-torch"}),
    of_run("a suite's column", ("s.toml", SUITE.format("", "floor"), SUITE.format("+border=4", "floor")), **OWN_SUITE),
    of_run("a suite's rounding", ("s.toml", SUITE.format("", "floor"), SUITE.format("", "round")), **OWN_SUITE),
    of_run("a metric's parameter", spec_after={"metrics": ("psnr+channels=Y",)}),
    of_run("the crop", spec_after={"crop": 16}),
    of_run("the scale", spec_after={"scale": 4}, **ANY),
    of_run("the tile", spec_after={"tile": 16}, files={"data/a.png": png(1, 80, 80)}),
    of_run("the seed", spec_after={"seed": 1}, **NOISY),
    of_run("the samples", spec_after={"samples": 3}, metrics=("sigma",), **NOISY),
    of_run("the temperature", spec_after={"temperature": (0.4,)}, **NOISY),
    of_run("a projection", spec_after={"models": ("m=any.py:Any+consistent",)}, **ANY),
    of_run("results made elsewhere", ("theirs/a.png", png(3), png(4)), models=("theirs=theirs",)),
    of_run(
        "results of one's own reading",
        ("theirs/a.png", png(3), png(4)),
        models=("m=any.py:Results",),
        files={"any.py": RESULTS},
    ),
]

INNOCENT = [
    of_model("a library's file", change=("site-packages/x.py", "a", "b")),
    of_model("a text beside the model", change=("gain.txt", "a", "b")),
    of_model("another variable", environ_after={"SRTEST_OTHER": "1"}),
    of_model("a variable that others read", environ_after={"COLUMNS": "99"}),
    of_model("code of a hidden folder", change=(".hidden/x.py", *CODE)),
    of_model("a virtual environment", change=("v/lib/x.py", *CODE), files={"v/pyvenv.cfg": ""}),
    of_model("line ends", IMPORT, ("gain.py", "GAIN = 1.0\n", "GAIN = 1.0\r\n")),
    of_model(
        "a file that is written", '\n        with open(HERE / "log.txt", "a") as f: f.write("x")\n        return 1.0'
    ),
    of_model("a file that is not read", change=("data/gain.txt", "1.0", "0.5")),
    of_model("fewer images", spec={"limit": 2}, spec_after={"limit": 1}),
    of_model("another order of models", models=BOTH, spec_after={"models": BOTH[::-1]}),
    of_model("fewer models", models=BOTH, spec_after={"models": BOTH[:1]}),
    of_model("another name of the same file", spec_after={"models": ("m=./my.py:Model",)}),
    of_model("the same file read again", READ, SAME),
    of_model("a cache beside it", change=("__pycache__/x.py", "", "")),
    of_model(
        "a network of its own",
        "return self.w",
        base="torch.nn.Module",
        body=f"{INIT}\n        super().__init__()\n        self.w = torch.nn.Parameter(torch.ones(1))",
    ),
    of_model("a set of texts", body='names = {"a", "b", "c", "d", "e"}'),
    of_model(
        "a file of a thread",
        "return T(1).submit(self.read).result()",
        SAME,
        top="from concurrent.futures import ThreadPoolExecutor as T",
        body=f"def read(self): {READ}",
    ),
    of_metric("an untouched metric", READ, SAME),
    of_run("an image that is not asked for", ("data/b.png", png(3), png(4))),
]
