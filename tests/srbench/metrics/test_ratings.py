"""Ratings in a CSV file as a metric: values, what is missing, files that are no ratings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from builders import drawn

import srbench
from srbench.images.io import write_png
from srbench.interfaces import SRBenchError
from srbench.metrics.loading import located, open_metric
from srbench.run_folder.folder import score_keys
from srbench.run_folder.records import SampleRecord


@pytest.fixture
def ratings(tmp_path, monkeypatch):
    """Write ratings.csv with these lines."""
    monkeypatch.chdir(tmp_path)

    def write(*lines, header="image,row,mos"):
        Path("ratings.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")

    return write


def test_ratings_of_images_and_of_samples(ratings):
    ratings("dog,rrdb,3.5", "dog,srflow-t0.8,4", "cat,rrdb,2")
    metric = open_metric("ratings.csv:mos").metric
    assert [metric.measure("rrdb", image, 1) for image in ("dog", "cat")] == [3.5, 2]
    ratings("dog,rrdb,,3", "dog,srflow-t0.8,0,4", "dog,srflow-t0.8,2,1", header="image,row,sample,mos")
    metric = open_metric("ratings.csv:mos+better=lower").metric
    assert (metric.measure("rrdb", "dog", 1), metric.measure("srflow-t0.8", "dog", 3)) == (3, 2.5)
    assert metric.info.direction == -1
    with pytest.raises(SRBenchError, match=r"rates sample 2 of srflow-t0\.8 dog, which has 2"):
        metric.measure("srflow-t0.8", "dog", 2)


def test_a_row_without_ratings_and_an_image_without_one(ratings):
    ratings("dog,rrdb,3.5")
    metric = open_metric("ratings.csv:mos").metric
    with pytest.warns(UserWarning, match=r"ratings.csv has no mos of esrgan, only of rrdb; its cells are dashes"):
        assert metric.measure("esrgan", "dog", 1) is None
    with pytest.raises(SRBenchError, match=r"ratings.csv: has no mos of rrdb cat"):
        metric.measure("rrdb", "cat", 1)


@pytest.mark.parametrize(
    ("header", "line", "name", "fault"),
    [
        ("image,row,mos", "dog,rrdb,good", "mos", "line 2 is no rating"),
        ("image,row,mos", "dog,rrdb,nan", "mos", "line 2 is no rating"),
        ("image,row,mos", "dog,rrdb", "mos", "line 2 is no rating"),
        ("image,row,mos", ",rrdb,3", "mos", "line 2 is no rating"),
        ("image,row,sample,mos", "dog,rrdb,first,3", "mos", "line 2 is no rating"),
        ("image,row,mos", "dog,rrdb,3\ndog,rrdb,4", "mos", "line 3 rates rrdb dog again"),
        ("image,row,sample,mos", "dog,rrdb,0,3\ndog,rrdb,,4", "mos", "line 3 rates rrdb dog again"),
        ("image,row,mos", "dog,rrdb,3", "dmos", "has no column dmos; its columns are image, row, mos"),
        ("image,model,mos", "dog,rrdb,3", "mos", "has no column row"),
        ("", "", "mos", "has no column image; its columns are "),
        ("image,row,mos", "", "mos", "has no ratings"),
        ("image,row,mos", "dog,rrdb,3", "mos+better=best", "better is 'best'; give higher or lower"),
        ("image,row,mos", "dog,rrdb,3", "mos+worse=1", "takes no parameter worse"),
    ],
)
def test_what_is_no_rating(ratings, header, line, name, fault):
    ratings(line, header=header)
    with pytest.raises(SRBenchError, match=re.escape(fault)):
        open_metric(f"ratings.csv:{name}")


def test_files_that_cannot_be_read(ratings):
    ratings()
    Path("ratings.csv").write_bytes(b"image,row,mos\ndog,rrdb,\xff\n")
    for name in ("ratings.csv", "missing.csv"):
        with pytest.raises(SRBenchError, match=f"{name}: cannot be read"):
            open_metric(f"{name}:mos")


def test_a_table_named_by_a_parameter_is_no_ratings():
    assert located("mine+weights=a.csv") == "mine+weights=a.csv"
    assert located("ratings.csv:mos+better=lower") == f"{Path('ratings.csv').resolve()}:mos+better=lower"


def test_a_renamed_row_keeps_no_rating(ratings):
    """The label is in the key of a rating, and in that of no other metric."""
    ratings("dog,rrdb,3")
    info, psnr = open_metric("ratings.csv:mos").info, open_metric("psnr").info
    facts = dict(key="k", invocation=0, error="not sampled", image="dog", temperature=None, source="", outputs=())
    samples = [SampleRecord(**facts, model=model, seconds=0.0, peak_memory_mb=None) for model in ("rrdb", "mine")]
    keys = [score_keys(sample, [info, psnr]) for sample in samples]
    assert (keys[0][0] == keys[1][0], keys[0][1] == keys[1][1]) == (False, True)
    ratings("dog,rrdb,4")
    assert open_metric("ratings.csv:mos").info.digest != info.digest


def test_ratings_in_measure_run_score_verify_and_python(ratings, command):
    ratings(*(f"{image},{row},{place}" for image in "ab" for place, row in enumerate(["bicubic", "good"])))
    for seed, name in enumerate("ab"):
        write_png(Path("hr") / f"{name}.png", drawn(seed))
        write_png(Path("good") / f"{name}.png", (drawn(seed).int() + 2).clamp(0, 255).to(torch.uint8))
    measured = command("measure", "good", "--metrics", "ratings.csv:mos")
    assert (measured.code, "1.00" in measured.out) == (0, True), measured.err
    words = (
        "run",
        "--models",
        "bicubic,good=good",
        "--data",
        "hr",
        "--scale",
        "4",
        "--metrics",
        "psnr",
        "--out",
        "run",
    )
    assert command(*words).code == 0
    scored = command("score", "run", "--metrics", "ratings.csv:mos")
    assert scored.code == 0, scored.err
    table = srbench.Results("run").table
    assert table["mos"].tolist() == [0, 1]
    assert command("verify", "run").code == 0
    assert "agrees with mos" in Path("run/report/report.md").read_text(encoding="utf-8")
    [row] = srbench.Results("run").agreement.to_dict("records")
    assert (row["people"], row["metric"], row["share"], row["pairs"]) == ("mos", "psnr", 1, 2)
    ratings("a,good,1")
    assert command("verify", "run").code == 3, "the ratings have changed"
