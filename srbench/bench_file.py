"""bench.toml: a run as a file. Keys are those of the command line; the command line comes before the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from srbench.config import load_toml
from srbench.images import write_whole
from srbench.plan import RunSpec
from srbench.types import SRBenchError

TEMPLATE = """\
# A run of srbench: srbench run bench.toml. Every key is also an option of srbench run, which comes before this file.

# Names (srbench list models), name:WEIGHTS, label=FOLDER of results, file.py:Name; +consistent projects outputs onto LR.
models = ["bicubic", "rrdb", "esrgan", "srflow"]
scale = 8

# A data set (srbench list datasets) or a folder of HR images, of which LR is made by MATLAB-exact bicubic; or give
# both as folders: hr = "DIR", lr = "DIR" instead of data.
data = "photos"
# limit = 10                   # only the first images
# crop = 256                   # only the central crop, in HR pixels

# Of models that sample.
temperature = [0.8]
samples = 5
seed = 0

# metrics = ["psnr", "lpips"]  # default: the eight of the suite
# device = "cpu"               # default: auto
# tile = 128                   # upscale in tiles of this size in LR pixels, to save memory
# out = "runs/mine"            # default: runs/DATE-MODELS-xSCALE
"""


class BenchFileError(SRBenchError):
    """A bench.toml that is incomplete, or one that is there already."""


@dataclass(frozen=True)
class BenchFile:
    """What a bench.toml may say."""

    models: tuple[str, ...] | None = None
    scale: int | None = None
    data: str | None = None
    hr: str | None = None
    lr: str | None = None
    limit: int | None = None
    crop: int | None = None
    metrics: tuple[str, ...] | None = None
    temperature: tuple[float, ...] | None = None
    samples: int | None = None
    seed: int | None = None
    device: str | None = None
    tile: int | None = None
    out: str | None = None


def read_spec(path: Path | None, given: Mapping[str, Any]) -> RunSpec:
    """The run that a file and the options of a command line ask for.

    Raises ConfigError for an unknown key or a value of the wrong type, BenchFileError for what is missing or
    contradicts itself.
    """
    file = BenchFile() if path is None else load_toml(path, BenchFile)
    asked = {field.name: getattr(file, field.name) for field in fields(file) if getattr(file, field.name) is not None}
    if "temperature" in asked:
        asked["temperatures"] = asked.pop("temperature")
    if "data" in given:
        asked.pop("hr", None), asked.pop("lr", None)
    if "hr" in given:
        asked.pop("data", None)
    asked |= given
    where = "the command line" if path is None else str(path)
    for name in ("models", "scale"):
        if name not in asked:
            raise BenchFileError(f"{where}: {name} is missing; write it there or give --{name}")
    if "hr" in asked or "lr" in asked:
        if "data" in asked or not ("hr" in asked and "lr" in asked):
            raise BenchFileError(f"{where}: give data, or hr and lr together")
        asked["data"] = None
    spec = RunSpec(**asked)
    _check(spec, where)
    return spec


def write_template(path: Path) -> None:
    """Write a commented bench.toml. Raises BenchFileError where the file is there already."""
    if path.exists():
        raise BenchFileError(f"{path}: is there already; name another file")
    write_whole(path, TEMPLATE.encode())


def _check(spec: RunSpec, where: str) -> None:
    """What the command line checks by itself, for values of a file."""
    least = {"scale": 2, "limit": 1, "crop": 1, "samples": 1, "seed": 0, "tile": 16}
    for name, smallest in least.items():
        value = getattr(spec, name)
        if value is not None and value < smallest:
            raise BenchFileError(f"{where}: {name} is {value}; it has to be {smallest} or more")
    for temperature in spec.temperatures:
        if not 0 <= temperature < float("inf"):
            raise BenchFileError(f"{where}: {temperature} is no temperature; it has to be 0 or more")
    if spec.device not in ("auto", "cpu", "cuda", "mps"):
        raise BenchFileError(f"{where}: device is {spec.device!r}; choose auto, cpu, cuda or mps")
    for name in ("models", "metrics", "temperatures"):
        if not getattr(spec, name):
            raise BenchFileError(f"{where}: {name} is empty; name at least one")


