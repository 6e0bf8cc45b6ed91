"""Random commands between which models, metrics and images change: a table has the numbers of a fresh folder.

Some commands are killed, some records and images tampered with: the verdict of ``verify`` is right after each.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from record_runs import values_that_count

from srbench.benchmark.run import run, score_run
from srbench.images.io import write_png
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.merge import merge
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

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
SIGNED = METRIC.replace('protocol="a test"', 'protocol="a test", signature="RGB|v1"')
"""The same with a protocol of its own, so that other code can measure the same again."""


class Workshop:
    """Models, a metric and images that change."""

    def __init__(self, folder, chance, draw_image, metric=METRIC):
        self.folder, self.chance, self.draw_image, self.changes = folder, chance, draw_image, 0
        self.metric = metric
        for name, content in {"code/my.py": MODEL, "metric/mine.py": metric}.items():
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text(content)
        for name in ("code/gain.txt", "code/weight.txt", "metric/k.txt"):
            (folder / name).write_text("0.9")
        for name in "abc":
            self.image(name)

    @property
    def photos(self):
        return self.folder / "photos"

    def image(self, name):
        self.changes += 1
        write_png(self.folder / "photos" / f"{name}.png", self.draw_image(self.changes, 24, 28))

    def change(self, *others):
        """Change one thing, or nothing."""
        what = self.chance.choice(["gain", "weight", "k", "model", "metric", "image", "grow", "nothing", *others])
        self.changes += 1
        if what == "image":
            self.image(self.chance.choice("abc"))
        elif what == "grow":
            self.image("abcdefghijklmnopqrstuvwxyz"[3 + self.changes % 20])
        elif what == "shrink":
            files = sorted(self.photos.iterdir())
            self.chance.choice(files).unlink() if len(files) > 1 else None
        elif what == "comment":
            with (self.folder / self.chance.choice(["code/my.py", "metric/mine.py"])).open("a") as file:
                file.write("# of no consequence\n")
        elif what in ("model", "metric"):
            name, text = {"model": ("code/my.py", MODEL), "metric": ("metric/mine.py", self.metric)}[what]
            (self.folder / name).write_text(text.replace("return ", f"return {1 - self.changes / 100} * "))
        elif what != "nothing":
            folder = "metric" if what == "k" else "code"
            (self.folder / folder / f"{what}.txt").write_text(str(0.5 + self.changes / 100))
        return what

    def everything(self, out):
        models = (f"reads={self.folder}/code/my.py:Reads", f"loads={self.folder}/code/my.py:Loads")
        metrics = ("psnr", f"{self.folder}/metric/mine.py:Mine")
        return RunSpec(models=models, scale=2, data=str(self.photos), metrics=metrics, out=str(out))

    def command(self, out):
        spec = self.everything(out)
        models = tuple(self.chance.sample(spec.models, self.chance.randint(1, 2)))
        limit, metrics = self.chance.choice([None, 1, 2]), spec.metrics[: self.chance.randint(1, 2)]
        return replace(spec, models=models, limit=limit, metrics=metrics)

    def truth(self, out):
        """Values of a fresh folder of all there is now."""
        spec = self.everything(out)
        run(replace(spec, metrics=(*spec.metrics, "ssim")))
        return values_that_count(out)

    def tamper(self, out):
        """Change something in a run folder by hand; False if it holds nothing that could be changed."""
        rows, outputs = out / "rows.jsonl", sorted(out.glob("images/[lr]*/*.png"))
        lines = rows.read_text().splitlines(keepends=True) if rows.exists() else []
        if not (lines and outputs):
            return False
        what, line = self.chance.choice(["value", "line", "image"]), self.chance.randrange(len(lines))
        if what == "image":
            self.changes += 1
            write_png(self.chance.choice(outputs), self.draw_image(self.changes, 24, 28))
        else:
            before, _, after = lines[line].partition('"value": [')
            lines[line] = f'{before}"value": [1{after}' if what == "value" and after else ""
            rows.write_text("".join(lines))
        return True


@pytest.mark.parametrize("sequence", range(SEQUENCES))
def test_numbers_are_those_of_now(tmp_path, draw_image, sequence):
    chance = random.Random(sequence)
    workshop, out = Workshop(tmp_path, chance, draw_image), tmp_path / "run"
    for step in range(chance.randint(3, 6)):
        what = workshop.change() if step else "nothing"
        spec, fresh = workshop.command(out), tmp_path / f"fresh{step}"
        run(spec)
        run(replace(spec, out=str(fresh)))
        truth, now = values_that_count(fresh), values_that_count(out)
        assert truth.items() <= now.items(), (sequence, step, what)
        assert not verify(out).contradicted, (sequence, step, what)
        if chance.random() < 0.3:
            score_run(out, ("ssim",))
            score_run(fresh, ("ssim",))
            truth, now = values_that_count(fresh), values_that_count(out)
            assert truth.items() <= now.items(), (sequence, step, "score")
        if chance.random() < 0.3:
            try:
                merged = merge([out, fresh], tmp_path / f"merged{step}")
            except RunFolderError:
                continue  # other metrics, or other code of a model that only one of them has anew
            assert truth.items() <= values_that_count(merged).items()
            shutil.rmtree(merged)
    again = replace(spec, limit=None)
    run(again)
    assert (run(again).sampled, run(again).scored) == (0, 0), "nothing has changed since"


def verdict_of(path):
    """Conclusion of ``verify`` with its reasons; a folder that cannot be read contradicts itself."""
    try:
        found = verify(path, resample="all")
    except RunFolderError as error:
        return "contradicted", str(error)
    return found.verdict, found.text()


def test_the_verdict_is_right(tmp_path, draw_image, killed, refused):
    seen = Counter()
    for sequence in range(SEQUENCES):
        chance, here = random.Random(1000 + sequence), tmp_path / str(sequence)
        here.mkdir()
        workshop, out, tampered = Workshop(here, chance, draw_image, SIGNED), here / "run", False
        for step in range(chance.randint(3, 6)):
            what = workshop.change("shrink", "shrink", "comment") if step else "nothing"
            score, spec = chance.random() < 0.2 and (out / "manifest.json").exists(), workshop.command(out)
            command = (lambda out=out: score_run(out, ("ssim",))) if score else (lambda spec=spec: run(spec))
            is_killed = chance.random() < 0.3 and killed(command, chance.randint(1, 25))
            refusal = "" if is_killed else refused(command)
            assert tampered or not refusal or "holds results of other images" in refusal, refusal
            now_tampered = chance.random() < 0.2 and workshop.tamper(out)
            tampered = tampered or now_tampered
            if not (out / "manifest.json").exists():
                continue
            truth = workshop.truth(here / f"fresh{step}")
            try:
                now = values_that_count(out)
            except RunFolderError:
                now = {}
            is_true = now == {place: truth.get(place) for place in now}
            verdict, reasons = verdict_of(out)
            told = (sequence, step, what, is_killed, refusal, reasons)
            seen.update({verdict: 1, "killed": is_killed, "refused": bool(refusal), "stale": not is_true})
            if not is_true or now_tampered:
                assert verdict in ("unverified", "contradicted"), told
            elif not tampered:
                assert verdict != "contradicted", told
                finished = RunFolder.read(out).manifest.invocations[-1].finished is not None
                assert verdict == "proven" or not finished or not now, told
    assert min(seen[one] for one in ("proven", "unverified", "contradicted", "killed", "refused", "stale")) > 1, seen
