"""Clips: images in subfolders, and means by group. Six clips of ten frames; frames of a clip are much alike."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders import drawn

import srbench
from srbench.images.io import read_uint8, write_png
from srbench.images.resize import downscale_uint8
from srbench.interfaces import ImagePair, SRBenchError
from srbench.judging.sign_flips import mean_interval
from srbench.reporting.tables.table import table_of_runs

CLIPS, FRAMES = 6, 10
NAMES = [f"{clip:03d}-{frame:05d}" for clip in range(CLIPS) for frame in range(FRAMES)]
MEASURE = ("measure", "--hr", "hr", "--metrics", "psnr", "--workers", 1)


def noisy(image: torch.Tensor, spread: float, seed: int) -> torch.Tensor:
    """An image with normal noise, as uint8."""
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + spread * noise).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders hr and lr, and outputs good and poor, in clips: noise differs more between clips than within one."""
    folder = tmp_path_factory.mktemp("clips")
    for clip in range(CLIPS):
        still = drawn(clip)
        for frame in range(FRAMES):
            hr, name, seed = noisy(still, 2, frame), f"{clip:03d}/{frame:05d}.png", 10 * clip + frame
            write_png(folder / "hr" / name, hr)
            write_png(folder / "lr" / name, downscale_uint8(hr, 4))
            write_png(folder / "good" / name, noisy(hr, 2 + 2 * clip, seed))
            write_png(folder / "poor" / name, noisy(hr, 3 + 2 * clip + frame / 20, 100 + seed))
    return folder


@pytest.fixture
def clips(made, monkeypatch, tmp_path):
    """The current folder, which has hr, lr, good and poor."""
    monkeypatch.chdir(tmp_path)
    for name in ("hr", "lr", "good", "poor"):
        Path(name).symlink_to(made / name)
    return tmp_path


def psnr(outputs: str, name: str) -> float:
    """PSNR of an image by numpy."""
    file = name.replace("-", "/") + ".png"
    images = [read_uint8(Path(folder) / file).numpy().astype(float) for folder in (outputs, "hr")]
    return 10 * np.log10(255**2 / np.mean((images[0] - images[1]) ** 2))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_outputs_in_clips_are_measured(clips, command):
    found = command(*MEASURE, "good", "--format", "csv")
    assert found.code == 0, found.err
    assert {row["image"]: float(row["value"]) for row in rows_of(found.out)} == pytest.approx(
        {name: psnr("good", name) for name in NAMES}
    )


def test_outputs_that_lack_a_frame_are_refused(clips, command):
    write_png(clips / "some" / "000" / "00000.png", read_uint8(Path("good/000/00000.png")))
    refused = command(*MEASURE, "some")
    assert refused.code == 1
    assert "some lacks 000-00001, 000-00002" in refused.err


def test_models_and_outputs_made_elsewhere_run_on_clips(clips, command):
    """With LR made from HR, and with its own; names of saved images are those of the dataset."""
    words = ("--models", "bicubic,good=good", "--scale", 4, "--metrics", "psnr", "--workers", 1)
    for data in (("--data", "hr"), ("--hr", "hr", "--lr", "lr")):
        out = Path(f"run{data[0]}")
        assert command("run", *words, *data, "--out", out).code == 0
        values = {
            row["image"]: float(row["value"])
            for row in rows_of((out / "report" / "rows.csv").read_text())
            if row["model"] == "good"
        }
        assert values == pytest.approx({name: psnr("good", name) for name in NAMES})
    assert (out / "images" / "bicubic" / "000-00000.png").is_file()
    again = command("measure", out / "images" / "good", "--hr", "hr", "--metrics", "psnr", "--format", "csv")
    assert {row["image"] for row in rows_of(again.out)} == set(NAMES), "flat names are paired with those in clips"


def by_clip(outputs: str) -> dict[str, float]:
    """Mean PSNR of every clip, by numpy."""
    values = {name: psnr(outputs, name) for name in NAMES}
    clips = [f"{clip:03d}" for clip in range(CLIPS)]
    return {clip: float(np.mean([value for name, value in values.items() if name[:3] == clip])) for clip in clips}


def test_measured_means_of_clips(clips, command):
    """The mean of one folder is that of its clips by numpy, and so are the means of several, with intervals and n."""
    means = {outputs: float(np.mean(list(by_clip(outputs).values()))) for outputs in ("good", "poor")}
    found = command(*MEASURE, "good", "--average", "groups")
    assert found.code == 0, found.err
    assert [line.split() for line in found.out.splitlines() if line.startswith(" 00")] == [
        [clip, f"{mean:.2f}"] for clip, mean in by_clip("good").items()
    ]
    assert f"mean of 6 groups of 10 images {means['good']:.2f}" in " ".join(found.out.split())
    facts = json.loads(command(*MEASURE, "good", "--average", "groups", "--format", "json").out)
    assert (facts["average"], facts["finite"], len(facts["images"])) == ("groups", {"psnr": 60}, 60)
    assert facts["mean"]["psnr"] == pytest.approx(means["good"])
    table = rows_of(command(*MEASURE, "good", "poor", "--average", "groups", "--format", "csv").out)
    assert {row["model"]: float(row["psnr"]) for row in table} == pytest.approx(means)
    assert {row["n"] for row in table} == {"6"}
    by_image = rows_of(command(*MEASURE, "good", "poor", "--format", "csv").out)
    assert {row["n"] for row in by_image} == {"60"}
    assert {row["psnr_low"] for row in by_image} == {""}, "frames of a clip say nothing about other clips"
    assert "" not in {row["psnr_low"] for row in table}
    tex = command(*MEASURE, "good", "poor", "--average", "groups", "--format", "tex").out
    assert r"\caption{60 images in 6 groups compared with hr, protocol srflow@1: means over groups of 10 images" in tex
    text = command(*MEASURE, "good", "poor", "--average", "groups", "--format", "md").out
    assert "a cell is the mean over n groups of 10 images" in text
    assert "paired sign-flip test over the groups" in text


def test_clips_of_different_lengths_weigh_the_same(clips, command):
    shutil.copytree("hr/000", "few/000")
    for name in ("001/00000.png", "001/00001.png"):
        write_png(Path("few") / name, read_uint8(Path("hr") / name))
        write_png(Path("out") / name, read_uint8(Path("poor") / name))
    shutil.copytree("poor/000", "out/000")
    words = ("measure", "out", "--hr", "few", "--metrics", "psnr", "--average", "groups", "--workers", 1)
    means = [np.mean([psnr("poor", f"{clip:03d}-{frame:05d}") for frame in range(n)]) for clip, n in ((0, 10), (1, 2))]
    assert f"mean of 2 groups of 2 to 10 images {np.mean(means):.2f}" in " ".join(command(*words).out.split())


def test_clips_without_references(clips, command):
    """Outputs alone may be samples in folders, unless means are over groups."""
    words = ("measure", "good", "--metrics", "pique", "--workers", 1)
    assert "may be clips or samples" in command(*words).err
    facts = json.loads(command(*words, "--average", "groups", "--format", "json").out)
    assert list(facts["images"]) == NAMES
    of_lr = command("measure", "good", "--lr", "lr", "--metrics", "lr_psnr", "--average", "groups", "--workers", 1)
    assert "mean of 6 groups of 10 images" in of_lr.out


@pytest.mark.parametrize(
    "words",
    [
        ("measure", "flat", "--hr", "flat", "--metrics", "psnr"),
        ("run", "--models", "bicubic", "--data", "flat", "--scale", 4, "--metrics", "psnr", "--out", "run"),
    ],
)
def test_images_without_groups_are_a_usage_error(clips, command, words):
    shutil.copytree("hr/000", "flat")
    refused = command(*words, "--average", "groups")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "--average groups: 00000 of flat is in no group; put the images of each clip" in refused.err
    assert command(*words, "--average", "frames").code == 2


RUN = ("run", "--models", "good=good,poor=poor", "--data", "hr", "--scale", 4, "--metrics", "psnr", "--workers", 1)


@pytest.fixture
def groups_run(clips, command):
    """A run with means over groups."""
    found = command(*RUN, "--average", "groups", "--out", "groups")
    assert found.code == 0, found.err
    assert "Means are over groups of 10 images, whose images are averaged first." in found.out
    return Path("groups")


def test_a_run_over_groups(with_plots, groups_run, command):
    """Table, intervals, tests, captions, plots and the Python API are all over groups, and verify proves the run."""
    results = srbench.Results(groups_run)
    means = [round(float(np.mean(list(by_clip(outputs).values()))), 2) for outputs in ("good", "poor")]
    assert results.table["psnr"].tolist() == means
    assert set(results.table["n"]) == {6}
    assert "60 images in 6 groups" in repr(results)
    gaps = [good - poor for good, poor in zip(by_clip("good").values(), by_clip("poor").values(), strict=True)]
    compared = results.compare("good", "poor").loc["psnr"]
    assert [compared["difference"], compared["low"], compared["high"]] == pytest.approx(
        [np.mean(gaps), *mean_interval(gaps)]
    )
    assert (compared["p"], compared["wins"]) == (2 / 2**6, 6)
    best = table_of_runs(results).best["psnr"]
    assert (best.units.n, len(best.units.subjects), best.pairs) == (6, 60, {(0, 1): 2 / 2**6})
    report = (groups_run / "report" / "report.md").read_text()
    assert "a cell is the mean over n groups of 10 images" in report
    assert "paired sign-flip test over the groups, adjusted" in report
    assert ", 60 images in 6 groups" in report
    assert "A stroke is the mean of a group" in report
    assert "count one by one" not in report
    page = (groups_run / "report" / "report.html").read_text()
    assert "a cell is the mean over 6 groups of 10 images" in page
    assert "60 images in 6 groups of <em>" in page
    assert "(60 images in 6 groups, LR" in (groups_run / "report" / "table.tex").read_text()
    assert "means over groups of 10 images, in bold" in (groups_run / "report" / "table.tex").read_text()
    assert "mean over n groups of 10 images" in command("show", groups_run).out
    assert command("compare", "good", "poor", "--run", groups_run).code == 0
    assert (
        "A and B are means over the n groups of 10 images" in (groups_run / "compare/good/poor/compare.md").read_text()
    )
    proven = command("verify", groups_run, "--resample", "all")
    assert proven.code == 0, proven.out


def test_a_gate_counts_groups(clips, command):
    assert command(*RUN, "--average", "groups", "--limit", 40, "--out", "four").code == 0
    refused = command("compare", "good", "poor", "--run", "four", "--fail-if-worse", "psnr")
    assert "have PSNR (RGB) on 4 groups; a verdict in 1 test needs at least 6" in refused.err
    assert "Verdicts and 95 % intervals need at least 6 groups." in Path("four/report/report.md").read_text()


def test_a_moved_frame_is_seen(groups_run, command):
    """The groups of a run, which change its means, are compared with those of the dataset."""
    manifest = json.loads((groups_run / "manifest.json").read_text())
    manifest["groups"]["000-00000"] = "001"
    (groups_run / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    found = command("verify", groups_run)
    assert found.code == 1
    assert "images are in other groups than in the run: 000-00000" in found.out


def test_runs_by_images_and_by_groups_are_not_joined(groups_run, command):
    """Neither in one folder, nor by merge, nor in one table; the report of many runs has a table of each."""
    assert command(*RUN, "--out", "runs/images").code == 0
    report = Path("runs/images/report/report.md").read_text()
    assert (
        "good at 32.63 dB; not tested, as images of a group are not independent (--average groups tests groups)"
        in report
    )
    assert "The 60 images in 6 groups count one by one, without tests and intervals" in report
    assert "95 % interval" not in report
    compared = command("compare", "good", "poor", "--run", "runs/images", "--fail-if-worse", "psnr")
    assert (compared.code, "are not independent" in compared.err) == (1, True)
    shutil.copytree(groups_run, "runs/groups")
    assert "holds results of average groups, not of average images" in command(*RUN, "--out", "runs/groups").err
    assert "average images, not of average groups" in command("merge", "runs/images", "runs/groups", "--out", "all").err
    refused = command("report", "runs/images", "runs/groups", "--out", "joint")
    assert "cannot share a table: unit of means: images against groups" in refused.err
    assert command("report", "runs").code == 0
    rows = rows_of(Path("runs/report/table.csv").read_text())
    assert {(row["data"].partition(", ")[2], row["n"]) for row in rows} == {
        ("means over images", "60"),
        ("means over groups", "6"),
    }
    assert "60 images, means over 6 groups, LR" in Path("runs/report/report.md").read_text()
    assert "a cell is the mean over n groups or images" in Path("runs/report/report.md").read_text()


def test_a_run_over_groups_grows_by_clips(clips, command):
    """A clip may be added to the dataset; an image of the same name in another folder makes it another dataset."""
    for clip in ("000", "001"):
        shutil.copytree(f"hr/{clip}", f"data/{clip}")
    words = ("run", "--models", "bicubic", "--data", "data", "--scale", 4, "--metrics", "psnr", "--workers", 1)
    words += ("--average", "groups", "--out", "run")
    assert command(*words).code == 0
    Path("data/x").mkdir()
    shutil.copy("hr/002/00000.png", "data/x/y-0.png")
    assert command(*words).code == 0
    assert srbench.Results("run").table["n"].item() == 3
    Path("data/x").rename("data/x-y")
    Path("data/x-y/y-0.png").rename("data/x-y/0.png")
    assert "run: holds results of x-y-0 in group x, not in x-y; choose another --out" in command(*words).err


def test_shards_of_a_run_over_groups_are_merged(groups_run, command):
    for part in (1, 2):
        assert command(*RUN, "--average", "groups", "--shard", f"{part}/2", "--out", f"part{part}").code == 0
    assert command("merge", "part1", "part2", "--out", "merged").code == 0
    whole, merged = (srbench.Results(folder).intervals for folder in (groups_run, "merged"))
    pd.testing.assert_frame_equal(whole, merged)


def test_an_image_without_error_is_left_out_of_the_test_for_all_models(clips, command):
    """An identical frame has an infinite PSNR; the mean of its group and the test are over the other frames."""
    shutil.copytree(Path("poor").resolve(), "exact")
    shutil.copy("hr/000/00000.png", "exact/000/00000.png")
    words = (*RUN[:1], "--models", "good=good,exact=exact", *RUN[3:], "--average", "groups", "--out", "run")
    assert command(*words).code == 0
    results = srbench.Results("run")
    others = np.mean([psnr("poor", f"000-{frame:05d}") for frame in range(1, FRAMES)])
    of_clips = [others, *list(by_clip("poor").values())[1:]]
    assert results.intervals["psnr"].iloc[1] == pytest.approx(np.mean(of_clips))
    assert results.intervals[["n", "not_finite"]].iloc[1].tolist() == [6, 1]
    of_good = np.mean([psnr("good", f"000-{frame:05d}") for frame in range(1, FRAMES)])
    best = table_of_runs(results).best["psnr"]
    assert (best.units.n, len(best.units.subjects)) == (6, 59)
    assert best.means[0] == pytest.approx(np.mean([of_good, *list(by_clip("good").values())[1:]]))


class Crops:
    """A dataset whose images are crops of two photographs, as it states."""

    def __init__(self):
        self.name = "crops"
        self.groups = {f"{photo}{place}": photo for photo in "ab" for place in range(3)}

    def __len__(self):
        return len(self.groups)

    def __iter__(self):
        return iter(self.groups)

    def digest(self, name):
        return name

    def read(self, name):
        hr = drawn(10 * ord(name[0]) + int(name[1]))
        return ImagePair(name, downscale_uint8(hr, 4) / 255, hr / 255)


@pytest.mark.parametrize("more", [{}, {"crop": 16}, {"degrade": "blur-noise-jpeg"}])
def test_the_groups_that_a_dataset_states(more):
    """They hold for its crops and degraded images too; a dataset without groups has none."""
    found = {
        average: srbench.evaluate(
            "bicubic", Crops(), scale=4, metrics=["psnr"], average=average, progress=False, **more
        )
        for average in ("images", "groups")
    }
    assert [results.table["n"].item() for results in found.values()] == [6, 2]
    assert found["groups"].intervals["psnr"].item() == pytest.approx(found["images"].intervals["psnr"].item())
    with pytest.raises(SRBenchError, match=r"average=\"groups\": \S+ of photos is in no group"):
        srbench.evaluate("bicubic", "photos", scale=8, limit=1, metrics=["psnr"], average="groups")
