"""Random histories of one run folder: after every command it holds what a fresh folder of the same request holds."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from builders import drawn
from record_runs import values_that_count

from srbench.benchmark.run import run, score_run
from srbench.files.hashes import sha256_file
from srbench.images.io import write_png
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.journal import Journal
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

pytest.importorskip("hypothesis")
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

pytestmark = pytest.mark.slow

MODELS = """
from pathlib import Path

import torch
import torch.nn.functional as F

HERE = Path(__file__).parent


class Plain:
    scale = 2

    def __init__(self):
        self.gain = float((HERE / "weight.txt").read_text())

    def __call__(self, lr):
        return 0.9 * self.gain * F.interpolate(lr, scale_factor=2)


class Noisy:
    scale = 2

    def sample(self, lr, n, *, temperature, generator):
        up = F.interpolate(lr[None], scale_factor=2)
        return up + 0.1 * temperature * torch.randn((n, *up.shape[1:]), generator=generator)
"""
METRIC = """
from srbench.interfaces import ImageMetric, MetricInfo


class Mine(ImageMetric):
    info = MetricInfo(name="mine", title="Mine", direction=1, protocol="a test", signature="RGB|v1")

    def __call__(self, samples, pair):
        return 0.9 * samples.mean(dim=(1, 2, 3))
"""
FILES = {"models/models.py": MODELS, "models/weight.txt": "0.9", "metric/mine.py": METRIC}
CHANGES = st.lists(
    st.sampled_from(["noisy", "bicubic", "temperature", "metric", "images", *FILES, *"aabcde"]), max_size=3
)
"""More models, temperatures, metrics or images; plug-ins and photographs that change."""


def values_in(run):
    """All values of a run folder, perhaps none."""
    try:
        return values_that_count(run)
    except RunFolderError as error:
        if "nothing is measured yet" not in str(error):
            raise
        return {}


class Killed(BaseException):
    """The process ends here."""


class Histories(RuleBasedStateMachine):
    """Commands, kills, edits of plug-ins and data, damage to the folder."""

    def __init__(self):
        super().__init__()
        self.here = Path(tempfile.mkdtemp(prefix="srbench-histories-"))
        self.photos = self.here / "photos"
        self.out = self.here / "run"
        self.versions = 0
        for name, content in FILES.items():
            (self.here / name).parent.mkdir(exist_ok=True)
            (self.here / name).write_text(content)
        self.all_models = {
            "plain": f"plain={self.here}/models/models.py:Plain",
            "noisy": f"noisy={self.here}/models/models.py:Noisy",
            "bicubic": "bicubic",
        }
        self.all_metrics = ("psnr", "sigma", f"{self.here}/metric/mine.py:Mine")
        self.asked_models = {"plain"}
        self.temperatures = (0.8,)
        self.metrics = ("psnr",)
        self.limit = 1

    def teardown(self):
        shutil.rmtree(self.here)

    @initialize()
    def photographs(self):
        for name in "abc":
            self.draw(name)

    def draw(self, name):
        self.versions += 1
        write_png(self.photos / f"{name}.png", drawn(self.versions, 24, 28))

    @property
    def request(self):
        return RunSpec(
            models=tuple(text for label, text in self.all_models.items() if label in self.asked_models),
            scale=2,
            data=str(self.photos),
            limit=self.limit,
            metrics=self.metrics,
            temperature=self.temperatures,
            samples=2,
            out=str(self.out),
        )

    @property
    def has_run(self):
        return (self.out / "manifest.json").exists()

    def change(self, what):
        """Ask for more, or let a photograph or a plug-in change."""
        if what in self.all_models:
            self.asked_models.add(what)
        elif what == "temperature":
            self.temperatures = (0.3, 0.8)
        elif what == "metric":
            self.metrics = self.all_metrics[: len(self.metrics) + 1]
        elif what == "images":
            self.limit = None
        elif what in FILES:
            self.versions += 1
            (self.here / what).write_text(FILES[what].replace("0.9", str(0.5 + self.versions / 1000)))
        else:
            self.draw(what)

    # Commands

    @rule(changes=CHANGES)
    def run(self, changes):
        for what in changes:
            self.change(what)
        outcome = run(self.request)
        assert not outcome.failures
        self.compare()
        again = run(self.request)
        assert (again.sampled, again.scored) == (0, 0), "nothing is left"

    @precondition(lambda self: self.has_run)
    @rule(label=st.sampled_from(["plain", "noisy", "bicubic"]))
    def run_again(self, label):
        self.change(label)
        outcome = run(replace(self.request, again=(label,)))
        images = len(RunFolder.read(self.out).manifest.images) if self.limit is None else self.limit
        times = len(self.temperatures) if label == "noisy" else 1
        assert outcome.sampled >= images * times
        self.compare()

    @precondition(lambda self: self.has_run)
    @rule()
    def score(self):
        """Metrics of unchanged models; of a model that has changed since, only what is not saved fails."""
        before = values_in(self.out)
        score_run(self.out, ["ssim"])
        assert before.items() <= values_in(self.out).items()

    @rule(changes=CHANGES, steps=st.integers(0, 12), where=st.sampled_from(["before", "between", "torn"]))
    def killed(self, changes, steps, where):
        """Killed before a journal entry, between its images and its lines, or in the middle of a line."""
        for what in changes:
            self.change(what)
        add = Journal.add
        left = steps

        def dying(journal, lines, files=()):
            nonlocal left
            left -= 1
            if left < 0:
                if where != "before":
                    add(journal, [], files)
                if where == "torn":
                    with (self.out / random.Random(steps).choice(["rows.jsonl", "samples.jsonl"])).open("ab") as file:
                        file.write(b'{"key": "torn')
                raise Killed
            add(journal, lines, files)

        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(Journal, "add", dying)
            run(self.request)

    # Damage

    @precondition(lambda self: self.has_run)
    @rule(choice=st.integers(0, 1000), kind=st.sampled_from(["edited", "cut", "removed"]))
    def image_damaged(self, choice, kind):
        known = {file for file, _ in RunFolder.read(self.out).kept_images() if file.exists()}
        if not known:
            return
        file = sorted(known)[choice % len(known)]
        if kind == "edited":
            self.versions += 1
            write_png(file, drawn(self.versions, 24, 28))
        elif kind == "cut":
            file.write_bytes(file.read_bytes()[:-9])
        else:
            file.unlink()
        rules = {(finding.rule, finding.where) for finding in verify(self.out).findings}
        place = file.relative_to(self.out).as_posix()
        assert ("not-compared" if kind == "removed" else "file-differs", place) in rules

    @precondition(lambda self: self.has_run)
    @rule(name=st.sampled_from(["pairs.jsonl", "samples.jsonl", "rows.jsonl"]), choice=st.integers(0, 1000))
    def last_lines_lost(self, name, choice):
        """As if the disk had forgotten them."""
        lines = (self.out / name).read_bytes().splitlines(keepends=True) if (self.out / name).exists() else []
        kept = choice % (len(lines) + 1)
        if kept < len(lines):
            (self.out / name).write_bytes(b"".join(lines[:kept]) + lines[kept][:20])

    @precondition(lambda self: self.has_run)
    @rule(choice=st.integers(0, 1000))
    def value_edited(self, choice):
        """``verify`` names it; then the user takes the file from a backup."""
        rows = self.out / "rows.jsonl"
        if not rows.exists():
            return
        backup = rows.read_bytes()
        before = values_in(self.out)
        lines = [json.loads(line) for line in backup.splitlines() if line.endswith(b"}")]
        with_values = [line for line in lines if isinstance(line["value"], list)]
        if not with_values:
            return
        with_values[choice % len(with_values)]["value"][0] += 0.5
        rows.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        if values_in(self.out) != before:
            assert verify(self.out).verdict in ("contradicted", "unverified")
        rows.write_bytes(backup)

    # The truth

    def compare(self):
        """The folder with a fresh one of the same request; ``verify`` proves all that it holds."""
        fresh = run(replace(self.request, out=str(self.here / "fresh"))).folder
        assert values_in(fresh).items() <= values_in(self.out).items()
        for file in (fresh / "images").rglob("*.png"):
            assert sha256_file(self.out / file.relative_to(fresh)) == sha256_file(file)
        shutil.rmtree(fresh)
        found = verify(self.out, resample="all")
        assert found.proven, found.text()

    @invariant()
    def can_be_read(self):
        if self.has_run:
            values_in(self.out)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=20, stateful_step_count=10, deadline=None)
