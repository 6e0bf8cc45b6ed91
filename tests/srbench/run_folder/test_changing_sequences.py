"""Random commands between which models, metrics and images change: a table has the numbers of a fresh folder."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace

import pytest

from srbench.benchmark.request import RunSpec
from srbench.benchmark.run import run, score_run
from srbench.benchmark.verify import verify
from srbench.images.io import write_png
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.merge import merge
from srbench.run_folder.results import rows_of

SEQUENCES = int(os.environ.get("SEQUENCES", "10"))
MODEL = """
from pathlib import Path

import torch.nn.functional as F

HERE = Path(__file__).parent


class Reads:
    scale = 2

    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=2) * float((HERE / "gain.txt").read_text())


class Loads:
    scale = 2

    def __init__(self):
        self.gain = float((HERE / "weight.txt").read_text())

    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=2) * self.gain
"""
METRIC = """
from pathlib import Path

from srbench.interfaces import MetricFacts


class Mine:
    facts = MetricFacts(name="mine", title="Mine", direction=1, protocol="a test")

    def __call__(self, samples, pair):
        return samples.mean(dim=(1, 2, 3)) * float((Path(__file__).parent / "k.txt").read_text())
"""


class Workshop:
    """Models, a metric and images that change."""

    def __init__(self, folder, chance, draw_image):
        self.folder, self.chance, self.draw_image, self.changes = folder, chance, draw_image, 0
        for name, content in {"code/my.py": MODEL, "metric/mine.py": METRIC}.items():
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text(content)
        for name in ("code/gain.txt", "code/weight.txt", "metric/k.txt"):
            (folder / name).write_text("0.9")
        for name in "abc":
            self.image(name)

    def image(self, name):
        self.changes += 1
        write_png(self.folder / "photos" / f"{name}.png", self.draw_image(self.changes, 24, 28))

    def change(self):
        """Change one thing, or nothing."""
        what = self.chance.choice(["gain", "weight", "k", "image", "grow", "nothing"])
        self.changes += 1
        if what == "image":
            self.image(self.chance.choice("abc"))
        elif what == "grow":
            self.image("abcdefghijklmnopqrstuvwxyz"[3 + self.changes % 20])
        elif what != "nothing":
            folder = "metric" if what == "k" else "code"
            (self.folder / folder / f"{what}.txt").write_text(str(0.5 + self.changes / 100))
        return what

    def command(self, out):
        models = {"reads": f"reads={self.folder}/code/my.py:Reads", "loads": f"loads={self.folder}/code/my.py:Loads"}
        return RunSpec(
            models=tuple(self.chance.sample(list(models.values()), self.chance.randint(1, 2))), scale=2,
            data=str(self.folder / "photos"), limit=self.chance.choice([None, 1, 2]),
            metrics=("psnr", f"{self.folder}/metric/mine.py:Mine")[: self.chance.randint(1, 2)], out=str(out),
        )  # fmt: skip


def values_in(path):
    return {
        (row.setting.model, row.image, metric): value
        for row in rows_of(RunFolder.read(path))
        for metric, value in row.values.items()
    }


@pytest.mark.parametrize("sequence", range(SEQUENCES))
def test_numbers_are_those_of_now(tmp_path, draw_image, sequence):
    chance = random.Random(sequence)
    workshop, out = Workshop(tmp_path, chance, draw_image), tmp_path / "run"
    for step in range(chance.randint(3, 6)):
        what = workshop.change() if step else "nothing"
        spec, fresh = workshop.command(out), tmp_path / f"fresh{step}"
        run(spec)
        run(replace(spec, out=str(fresh)))
        truth, now = values_in(fresh), values_in(out)
        assert truth.items() <= now.items(), (sequence, step, what)
        assert not verify(out).contradicted, (sequence, step, what)
        if chance.random() < 0.3:
            score_run(out, ("ssim",))
            score_run(fresh, ("ssim",))
            truth, now = values_in(fresh), values_in(out)
            assert truth.items() <= now.items(), (sequence, step, "score")
        if chance.random() < 0.3:
            try:
                merged = merge([out, fresh], tmp_path / f"merged{step}")
            except RunFolderError:
                continue  # other metrics, or other code of a model that only one of them has anew
            assert truth.items() <= values_in(merged).items()
            shutil.rmtree(merged)
    again = replace(spec, limit=None)
    run(again)
    assert (run(again).sampled, run(again).scored) == (0, 0), "nothing has changed since"
