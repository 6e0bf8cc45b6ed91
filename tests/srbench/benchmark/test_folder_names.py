"""Names of run folders where no --out is given."""

import time
from dataclasses import replace
from pathlib import Path

from srbench.benchmark.run import run


def test_the_folder_is_named_after_day_models_and_scale(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unnamed = replace(spec, out=None)
    folder = run(unnamed).folder
    day, _, rest = folder.name.partition("-near-")
    assert (folder.parent, rest) == (Path("runs"), "noisy-x4")
    assert time.strptime(day, "%Y-%m-%d")
    yesterday = folder.rename(folder.with_name("2001-02-03-near-noisy-x4"))
    again = run(unnamed)
    assert (again.folder, again.sampled) == (yesterday, 0), "a run goes on after midnight"
    assert run(replace(unnamed, seed=5)).folder == folder, "another run is another folder"
    second = run(replace(unnamed, seed=6)).folder
    assert second == folder.with_name(f"{folder.name}-2"), "another protocol on the same day too"
    again = run(replace(unnamed, seed=6))
    assert (again.folder, again.sampled) == (second, 0)
    more = run(replace(unnamed, seed=5, metrics=("psnr", "ssim")))
    assert more.folder == folder, "metrics are added to today's folder"
