"""Runs on LR images alone: what is measured, kept, shown and verified, and what is refused in one line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from page_data import data_of, files_of

import srbench
from srbench.benchmark.run import run, score_run
from srbench.data.datasets import LRFolder
from srbench.images.io import read_uint8, write_png
from srbench.interfaces import ImagePair, SRBenchError
from srbench.reporting.writers.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

METRICS = ("lr_psnr", "pique", "sigma")
METRIC = '''
from srbench.interfaces import ImageMetric, MetricInfo


class Grey(ImageMetric):
    """Mean level of the output, which needs no reference."""

    needs = ()
    info = MetricInfo(name="grey", title="Grey", direction=0, protocol="mean level")

    def __call__(self, samples, pair):
        assert not pair.has_hr
        return samples.double().mean(dim=(1, 2, 3))
'''


@pytest.fixture
def camera(tmp_path, draw_image, monkeypatch):
    """A folder of photographs with the names that cameras give."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("DSC 0002 (1).png", "IMG_0001.PNG", "_MG_3.png")):
        write_png(Path("camera") / name, draw_image(seed, 20 + 4 * seed, 24))
    return Path("camera")


@pytest.fixture
def ask(camera, models):
    """A request for the small models and two samples."""

    def call(**changes):
        chosen = {"models": ("bicubic", f"{models}:Noisy"), "metrics": METRICS, "samples": 2, "out": "run"}
        return RunSpec(scale=4, data=None, lr=str(camera), **chosen | changes)

    return call


def test_what_needs_no_hr_is_measured_and_proven(ask):
    outcome = run(ask())
    assert not outcome.failures
    folder = RunFolder.read(Path("run"))
    assert folder.manifest.images == ("DSC 0002 (1)", "IMG_0001", "_MG_3")
    assert not folder.has_hr
    assert not Path("run/images/hr").exists()
    lines = [json.loads(line) for line in Path("run/pairs.jsonl").read_text().splitlines()]
    assert [(line["hr"], line["error"]) for line in lines] == [(None, "")] * 3
    assert "hr" not in "".join(line.split()[1] for line in Path("run/SHA256SUMS").read_text().splitlines())
    write_report([Path("run")])
    found = verify(Path("run"), resample="all")
    assert (found.verdict, found.verified) == ("proven", 2 * 3 * 3), found.text()
    again = run(ask())
    assert (again.sampled, again.scored) == (0, 0)


def test_report_and_comparison_say_so_and_show_lr_and_outputs(ask, camera, command):
    run(ask())
    write_report([Path("run")])
    text, page = (Path("run/report", name).read_text() for name in ("report.md", "report.html"))
    sentence = "There are no HR images: the columns of srflow@1 that need them are left out."
    assert sentence in text
    assert sentence in page
    assert "error to HR" not in text
    assert command("compare", "bicubic", "Noisy", "--run", "run").code == 0
    assert "LR-PSNR" in Path("run/compare/bicubic/Noisy-t0.8/compare.md").read_text()
    contents = data_of(page)
    assert [one["id"] for one in contents["columns"]] == ["lr", "bicubic", "Noisy-t0.8_1", "Noisy-t0.8_2"]
    images = contents["images"]
    sizes = [list(size) for size in zip(images["widths"], images["heights"], strict=True)]
    lr = [read_uint8(path).shape[:0:-1] for path in sorted(camera.iterdir())]
    assert sizes == [[4 * width, 4 * height] for width, height in lr]
    assert all(Path("run/report", unquote(file)).is_file() for files in files_of(images) for file in files)
    assert [one["name"] for one in contents["maps"]] == ["deviation"]
    assert all(Path("run/report/maps/Noisy-t0.8", f"{path.stem}_deviation.png").is_file() for path in camera.iterdir())


def test_results_made_elsewhere_have_the_scale_times_the_size_of_lr(ask, camera):
    run(ask(models=("bicubic",)))
    shutil.copytree("run/images/bicubic", "elsewhere")
    assert not run(ask(models=("mine=elsewhere",), out="mine")).failures
    one, other = (
        [score.value for scores in RunFolder.read(Path(name)).scores.values() for score in scores.values()]
        for name in ("run", "mine")
    )
    assert one == other
    outcome = run(ask(models=(f"mine={camera}",), out="wrong"))
    assert "IMG_0001: the result has shape (1, 3, 24, 24); it must be (n, 3, 96, 96), 4 times LR" in outcome.failures[1]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"metrics": ("lpips", "pique")}, "LPIPS needs HR images, and camera has none; leave it out of --metrics"),
        ({"metrics": ("psnr", "ssim")}, "PSNR (RGB), SSIM (RGB) need HR images, and camera has none"),
        ({"suite": "classic-y", "metrics": None}, "all metrics of classic-y@2 need HR images, and camera has none"),
        ({"crop": 32}, "crop is a size in HR pixels, but camera has only LR images; leave out --crop"),
        ({"degrade": "bicubic"}, "degrade makes LR from HR, but camera has only LR images; leave out --degrade"),
    ],
)
def test_what_needs_hr_is_refused_before_anything_is_done(ask, changes, fault):
    with pytest.raises(SRBenchError, match=re.escape(fault)):
        run(ask(**changes))
    assert not Path("run").exists()


def test_a_metric_that_needs_hr_cannot_be_added(ask):
    run(ask(models=("bicubic",)))
    with pytest.raises(SRBenchError, match=r"PSNR \(RGB\) needs HR images, and run has none"):
        score_run(Path("run"), ["psnr"])


def test_a_file_and_the_command_line(camera, command):
    Path("bench.toml").write_text(
        'models = ["bicubic"]\nscale = 4\ndata = "photos"\nmetrics = ["pique"]\nout = "run"\n'
    )
    assert (
        command("run", "bench.toml", "--lr", camera, "--dry-run").out.splitlines()[1].endswith(" on 3 images: 3 items.")
    )
    assert command("run", "bench.toml", "--lr", camera).code == 0
    assert not RunFolder.read(Path("run")).has_hr
    found = command("run", "--models", "bicubic", "--scale", "4", "--lr", camera, "--data", "photos")
    assert (found.code, "give data, or hr and lr together, or lr alone" in found.err) == (2, True)


def test_from_python(camera):
    class Mine:
        name, has_hr = "mine", False

        def __init__(self):
            self.folder = LRFolder(camera, 4)

        def __len__(self):
            return len(self.folder)

        def __iter__(self):
            return iter(self.folder)

        def read(self, name):
            return ImagePair(name, self.folder.read(name).lr)

        def digest(self, name):
            return self.folder.digest(name)

    def nearest(lr):
        return torch.nn.functional.interpolate(lr, scale_factor=4)

    tables = [
        srbench.evaluate({"nearest": nearest}, *data, scale=4, metrics=METRICS[:2], **named).table
        for data, named in (([Mine()], {}), ([], {"lr": camera}))
    ]
    assert tables[0].equals(tables[1])
    assert list(tables[0].columns[:2]) == ["lr_psnr", "pique"]
    with pytest.raises(SRBenchError, match="data is given together with hr or lr"):
        srbench.evaluate(["bicubic"], "photos", scale=4, lr=camera)
