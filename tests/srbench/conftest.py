"""Small pictures, small models in a file, and the command line in this process."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from srbench.images import write_png, write_whole
from srbench.manifest import write_manifest
from srbench.results import Row, setting_folder

MODELS = '''
import time

import torch
import torch.nn.functional as F


class Nearest(torch.nn.Module):
    """Repeats pixels."""

    scale = 4

    def forward(self, lr):
        return F.interpolate(lr, scale_factor=4)


class Noisy:
    """Repeats pixels and adds noise."""

    def __init__(self, scale):
        self.scale = scale

    def sample(self, lr, n, *, temperature, generator):
        up = F.interpolate(lr[None], scale_factor=self.scale)
        noise = torch.randn((n, *up.shape[1:]), generator=generator)
        return up + 0.1 * temperature * noise.to(lr)


class Slow(Noisy):
    def sample(self, lr, n, *, temperature, generator):
        time.sleep(0.2)
        return super().sample(lr, n, temperature=temperature, generator=generator)


class NotFinite(Nearest):
    """Divides by zero where a picture is flat."""

    def forward(self, lr):
        return super().forward(lr) / lr.std()


class WrongSize(Nearest):
    def forward(self, lr):
        return lr


class TooFew(Noisy):
    def sample(self, lr, n, *, temperature, generator):
        return super().sample(lr, n - 1, temperature=temperature, generator=generator)


class Raises(Nearest):
    def forward(self, lr):
        raise RuntimeError("no memory\\nfor this")


class BrokenConstructor:
    def __init__(self, scale):
        raise OSError("no such device")
'''


def picture(seed: int, height: int, width: int) -> torch.Tensor:
    """(3, height, width) uint8 without flat regions, different for every seed."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, height // 4 + 2, width // 4 + 2), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return smooth[0].mul(255).to(torch.uint8)


@pytest.fixture
def photos(tmp_path):
    """Four pictures: a, b, c, d; the sides of b do not divide by 4."""
    for seed, (name, size) in enumerate({"a": (32, 32), "b": (33, 42), "c": (40, 32), "d": (32, 36)}.items()):
        write_png(tmp_path / "photos" / f"{name}.png", picture(seed, *size))
    return tmp_path / "photos"


@pytest.fixture
def models(tmp_path):
    """A file of models to be named as f"{models}:Noisy"."""
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


@pytest.fixture(scope="session")
def small_models(tmp_path_factory):
    """The same file of models, for fixtures of any scope."""
    path = tmp_path_factory.mktemp("models") / "models.py"
    path.write_text(MODELS)
    return path


@pytest.fixture(scope="session")
def draw_picture():
    return picture


@dataclass
class Finished:
    """What a command left."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """The command line, run in this process and in a folder of its own."""
    from srbench.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments], prog_name="srbench")
        return Finished(left.value.code, *capsys.readouterr())

    return call


TIMES = ("model_seconds", "metric_seconds", "peak_memory_mb")


def timeless_rows(run: Path) -> list[str]:
    """The lines of rows.jsonl, sorted, without times and memory."""
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    return sorted(json.dumps({k: v for k, v in row.items() if k not in TIMES}) for row in rows)


@pytest.fixture
def rows_of():
    return timeless_rows


MEASURED = [
    {"name": "psnr", "title": "PSNR", "higher_is_better": True, "unit": "dB", "digits": 2, "protocol": "uint8 RGB"},
    {"name": "lpips", "title": "LPIPS", "higher_is_better": False, "unit": "", "digits": 3, "protocol": "AlexNet"},
]


@pytest.fixture
def make_run(tmp_path):
    """A finished run of two metrics: make_run("name", {("m", None): {"a": (psnr, lpips), ...}, ...}) -> its folder.

    Values are numbers, or lists where samples were drawn. Pictures are flat: 24 x 24, a grey level a setting.
    """

    def call(name, values, **changed):
        folder, rows = tmp_path / name, []
        images = list(next(iter(values.values())))
        for level, ((model, temperature), by_image) in enumerate(values.items()):
            for image, (psnr, lpips) in by_image.items():
                samples = psnr if isinstance(psnr, list) else [psnr]
                found = {"psnr": samples, "lpips": lpips if isinstance(lpips, list) else [lpips]}
                key = f"{name} {model} {temperature} {image}"
                facts = (key, model, temperature, "d", image, 4, len(samples), 0, "srflow@1", found, 0.5, 0.25, 100.0)
                rows.append(Row(*facts))
                for sample in range(len(samples)):
                    ending = "" if temperature is None else f"_sample{sample}"
                    path = folder / "images" / setting_folder(model, temperature) / f"{image}{ending}.png"
                    write_png(path, torch.full((3, 24, 24), 40 + 30 * level + sample, dtype=torch.uint8))
        for image in images:
            write_png(folder / "images" / "hr" / f"{image}.png", torch.full((3, 24, 24), 20, dtype=torch.uint8))
            write_png(folder / "images" / "lr" / f"{image}.png", torch.full((3, 6, 6), 20, dtype=torch.uint8))
        manifest = {
            "command": f"srbench run --models m --scale 4 --out {name}", "suite": "srflow@1", "scale": 4, "seed": 0,
            "dataset": {"name": "d", "names": images, "limit": None, "crop": None, "lr": "made from HR"},
            "samples": 2, "temperatures": [0.8], "metrics": MEASURED, "failures": [],
            "models": [
                {"label": model, "spec": model, "digest": f"digest of {model}", "weights": None}
                for model in dict.fromkeys(model for model, _ in values)
            ],
            "software": {"torch": "2.9"}, "hardware": {"cpu": "abacus"}, "started": "then", "finished": "later",
            "keys": [row.key for row in rows],
        }  # fmt: skip
        write_manifest(folder, manifest | changed)
        write_whole(folder / "rows.jsonl", "".join(f"{row.to_json()}\n" for row in rows).encode())
        return folder

    return call
