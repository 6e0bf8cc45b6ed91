"""--check-tiles: models that see further than a tile's surroundings, and those that do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from srbench.benchmark import tile_check
from srbench.benchmark.request import RunSpec, open_bench
from srbench.benchmark.run import run
from srbench.benchmark.tile_check import near_seams, tile_checks
from srbench.benchmark.verify import verify
from srbench.interfaces import silent
from srbench.models import ModelError
from srbench.reporting.report import write_report
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.merge import merge
from srbench.run_folder.protocol import TileCheck

MODELS = """
import torch.nn.functional as F

class Brighter:  # by the mean of all that it sees
    scale = 2
    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=2) * 0.5 + lr.mean((2, 3), keepdim=True) * 0.5

class Fails:
    scale = 2
    def __call__(self, lr):
        if lr.shape[-1] > 55:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return F.interpolate(lr, scale_factor=2)
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "hr").mkdir()
    for name, side in (("a", 36), ("b", 120), ("c", 130)):
        ramp = torch.linspace(0, 255, side).round().byte().numpy()
        Image.fromarray(ramp[None].repeat(side, 0)).convert("RGB").save(tmp_path / "hr" / f"{name}.png")
    return RunSpec(
        models=("bicubic", f"{tmp_path / 'models.py'}:Brighter"),
        scale=2,
        data=str(tmp_path / "hr"),
        metrics=("psnr",),
        tile=20,
        device="cpu",
        out=str(tmp_path / "run"),
    )


def test_an_image_with_one_side_longer_than_a_tile_is_cut(spec, tmp_path):
    (tmp_path / "wide").mkdir()
    Image.new("RGB", (64, 16)).save(tmp_path / "wide" / "a.png")
    (check,) = tile_checks(open_bench(replace(spec, models=("bicubic",), data=str(tmp_path / "wide"))), silent)
    assert (check.image, check.fault) == ("a", "")


def test_exact_tiles_and_others(spec):
    exact, other = tile_checks(open_bench(spec), silent)
    assert (exact.model, exact.image, exact.tile) == ("bicubic", "b", 20), "the first that is larger than a tile"
    assert exact.largest <= 0.01
    assert exact.sentence.startswith("Tiles of 20 are exact for bicubic: they change no value of b by more than 0.01")
    # half of the difference of the means of a whole ramp and of its first window of 20 + 16 columns
    ramp = torch.linspace(0, 255, 120).round()
    small = torch.stack([ramp[2 * k : 2 * k + 2].mean() for k in range(60)])
    expected = (small.mean() - small[:36].mean()) / 2
    assert other.largest == pytest.approx(float(expected), abs=1)
    assert other.seams == pytest.approx(other.largest, abs=0.1)
    assert other.sentence == (
        f"Tiles of 20 change the output of Brighter for b by up to {other.largest:.2f} of 255 levels, "
        f"and {other.seams:.2f} next to a seam."
    )


def test_what_is_near_a_seam():
    near = near_seams((5, 40), 16, 2)
    assert near.shape == (10, 80)
    assert near[0].nonzero().flatten().tolist() == [30, 31, 32, 33, 62, 63, 64, 65]
    assert torch.equal(near, near[:1].expand(10, 80)), "one row of tiles has no seam"


def test_what_cannot_be_compared_is_one_line(spec, monkeypatch):
    models = (f"{spec.models[1].rpartition(':')[0]}:Fails",)
    (check,) = tile_checks(open_bench(replace(spec, models=models)), silent)
    assert check.sentence == (
        "Tiles of 20 were not compared with the whole image for Fails: b: the whole image does not fit in memory."
    )
    (check,) = tile_checks(open_bench(replace(spec, models=("bicubic",), tile=200)), silent)
    assert check.fault == "no image is larger than a tile of 200x200"

    def fail(*_):
        raise ModelError("b: it cannot sample in tiles")

    monkeypatch.setattr(tile_check, "upscale", fail)
    (check,) = tile_checks(open_bench(replace(spec, models=("bicubic",))), silent)
    assert check.sentence.endswith("for bicubic: b: it cannot sample in tiles.")


def test_the_result_is_recorded_and_reported(spec, tmp_path):
    said: list[TileCheck] = []
    plain = run(replace(spec, out=str(tmp_path / "plain")))
    assert "tile_checks" not in json.loads((plain.folder / "manifest.json").read_text())
    folder = run(spec, tiles_checked=said.append).folder
    assert [one.model for one in said] == ["bicubic", "Brighter"]
    assert read_manifest(folder).tile_checks == tuple(said)
    rows = [(one / "rows.jsonl").read_text().count("\n") for one in (folder, plain.folder)]
    assert rows == [6, 6]
    write_report([folder])
    report = (folder / "report" / "report.md").read_text()
    assert all(one.sentence in report for one in said)
    assert all(one.sentence in (folder / "report" / "report.html").read_text() for one in said)
    assert verify(folder).holds
    run(spec, tiles_checked=said.append)
    assert len(read_manifest(folder).invocations) == 1, "the same again is nothing new"
    merged = merge([folder, plain.folder], Path(tmp_path / "merged"))
    assert read_manifest(merged).tile_checks == tuple(said[:2])
