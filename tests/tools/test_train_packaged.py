"""The stages that lead to packaged weights."""

import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import train_packaged
from click.testing import CliRunner

from srbench.cli.main import main
from srbench.images.io import write_png
from srbench.weights.files import packaged_weights


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Run ``train_packaged.py`` with dry runs in place of trainings;
    returns the values of --start, --data and --out."""

    def of(*arguments):
        started, levelled = [], []

        def run(command, *, check):
            assert command[:3] == [sys.executable, "-m", "srbench"]
            small = ("training.batch=2", "training.patch=64", "training.precision=float32")
            changes = [part for change in small for part in ("--set", change)]
            result = CliRunner().invoke(main, [*command[3:], "--dry-run", *changes])
            assert result.exit_code == 0, result.output
            options = list(pairwise(command))
            place(command[4], Path(command[command.index("--out") + 1]))
            started.append({name: [value for key, value in options if key == name] for name in ("--start", "--data")})

        def place(model, out):
            """Packaged weights in place of the trained ones, which a later stage starts from."""
            every = packaged_weights("baselines") | packaged_weights("srflow")
            if (packaged := every.get((model, int(out.name[-1])))) is not None:
                out.mkdir()
                for name in ("weights", "best"):
                    shutil.copy(packaged, out / f"{name}.safetensors")

        def level(weights, photographs, temperature, out):
            shutil.copy(packaged_weights("srflow")["srflow", 4], out)  # a second stage needs weights to start from
            levelled.append((weights, photographs, temperature, out))

        monkeypatch.chdir(tmp_path)
        for folder in ("photographs/train", "photographs/val", "all/train", "all/val", "drawn"):
            (tmp_path / folder).mkdir(parents=True)
            write_png(tmp_path / folder / "image.png", torch.zeros(3, 64, 64, dtype=torch.uint8))
        monkeypatch.setattr(train_packaged.subprocess, "run", run)
        monkeypatch.setattr(train_packaged, "level_samples", level)
        monkeypatch.setattr(sys, "argv", ["train_packaged.py", *arguments])
        train_packaged.main()
        return started, levelled

    return of


@pytest.mark.slow
def test_each_stage_starts_from_the_one_before(trained, tmp_path):
    started, levelled = trained("srflow-perceptual", "4", "photographs", "all", "drawn", str(tmp_path))
    first, second = ["photographs/train"], ["all/train", "drawn"]
    assert [stage["--data"] for stage in started] == [first, first, first, second, second, second, second]
    starts = [
        "rrdb-first-x8",
        "rrdb-first-x4",
        "srflow-first-x4",
        "srflow-second-x4.safetensors",
        "srflow-third-x4.safetensors",
        "srflow-x4.safetensors",
    ]
    assert [stage["--start"] for stage in started] == [[], *([str(tmp_path / name)] for name in starts)]
    names = ["srflow-second-x4", "srflow-third-x4", "srflow-x4", "srflow-perceptual-x4"]
    assert [(str(weights), str(out)) for weights, _, _, out in levelled] == [
        (f"{tmp_path}/{name}/weights.safetensors", f"{tmp_path}/{name}.safetensors") for name in names
    ]
    assert {str(photographs) for _, photographs, _, _ in levelled} == {"photographs/train"}


def test_a_mean_needs_both_its_stages(tmp_path):
    names = [name for name, _ in train_packaged.needed("srflow-perceptual", 8, tmp_path)]
    assert names[-3:] == ["srflow-third", "srflow", "srflow-perceptual"]
    assert len(names) == len(set(names)) == 6


@pytest.mark.slow
def test_esrgan_starts_from_the_second_rrdb(trained, tmp_path):
    """At 8x, RRDB was trained once more afterwards."""
    started, levelled = trained("esrgan", "8", "photographs", "all", "drawn", str(tmp_path))
    assert [stage["--start"] for stage in started] == [
        [],
        [str(tmp_path / "rrdb-first-x8")],
        [str(tmp_path / "rrdb-second-x8")],
    ]
    assert not levelled
    assert train_packaged.weights("esrgan", 8, tmp_path) == tmp_path / "esrgan-x8" / "best.safetensors"
    assert [name for name, _ in train_packaged.needed("rrdb", 8, tmp_path)] == ["rrdb-first", "rrdb-second", "rrdb"]
    assert [*train_packaged.needed("rrdb", 4, tmp_path)] == [("rrdb-first", 8), ("rrdb-first", 4), ("rrdb", 4)]


@pytest.mark.slow
def test_a_file_takes_the_place_of_a_stage_and_those_before_it(trained, tmp_path):
    earlier = tmp_path / "rrdb-second-x8.safetensors"
    shutil.copy(packaged_weights("baselines")["rrdb", 8], earlier)
    started, _ = trained("esrgan", "8", "photographs", "all", "drawn", str(tmp_path))
    assert [stage["--start"] for stage in started] == [[str(earlier)]]
    assert not train_packaged.needed("rrdb-second", 8, tmp_path)
