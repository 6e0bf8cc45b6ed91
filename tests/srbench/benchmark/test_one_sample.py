"""Runs of one sample per image: metrics of the spread of samples are no column, and the report says why."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from srbench.api import evaluate
from srbench.benchmark import RequestError
from srbench.metrics.loading import described
from srbench.plugins.registry import registered

SENTENCE = "sigma is left out: it needs two or more samples per image, and there is one."


@pytest.fixture
def one(command, photos, models):
    """Run the noisy model with one sample per image; further options follow."""

    def call(*options, model="Noisy"):
        words = ("--models", f"{models}:{model}", "--scale", 4, "--data", photos, "--limit", 1, "--out", "run")
        return command("run", *words, "--samples", 1, *options)

    return call


@pytest.fixture
def small_suite(tmp_path):
    text = 'name = "small"\nversion = 1\nabout = "two"\nquantize = "floor"\nmetrics = ["psnr", "sigma"]\n'
    (tmp_path / "small.toml").write_text(text)
    return tmp_path / "small.toml"


def test_sigma_is_no_column_and_a_sentence_says_why(one, small_suite):
    done = one("--suite", small_suite)
    assert done.code == 0, done.err
    assert SENTENCE in done.out
    report = Path("run/report")
    assert SENTENCE in (report / "report.md").read_text()
    assert "sigma" not in next(csv.reader((report / "table.csv").open()))
    assert not [line for line in (report / "table.tex").read_text().splitlines() if "sigma" in line and line[0] != "%"]
    assert "sigma" not in json.dumps(json.loads(Path("run/manifest.json").read_text())["metrics"])
    assert SENTENCE in command_output(one("--suite", small_suite))


def command_output(done):
    assert done.code == 0, done.err
    return done.out


def test_chosen_metrics_need_no_sentence(one):
    assert "per image, and there is one" not in command_output(one("--metrics", "psnr", "--out", "other"))


@pytest.mark.parametrize("metric", ["sigma", "diversity"])
def test_a_metric_that_needs_two_samples_is_a_usage_error(one, command, metric):
    refused = one("--metrics", f"psnr,{metric}")
    assert refused.code == 2
    assert f"{metric} needs two or more samples per image; raise --samples, or leave it out of --metrics" in refused.err
    assert not Path("run").exists()
    assert one("--metrics", "psnr,lr_psnr_worst", "--dry-run").code == 0
    assert one("--metrics", "sigma", "--dry-run").code == 2
    assert one("--metrics", "psnr").code == 0
    assert command("score", "run", "--metrics", metric).code == 2


def test_from_python(photos, models):
    with pytest.raises(RequestError, match="sigma needs two or more samples per image"):
        evaluate(f"{models}:Noisy", photos, scale=4, samples=1, metrics=["psnr", "sigma"], limit=1, progress=False)
    results = evaluate(f"{models}:Noisy", photos, scale=4, samples=1, limit=1, suite="ntire21", progress=False)
    assert [*results.table.columns] == ["lpips_spatial", "lr_psnr_worst", "n"]


def test_metrics_that_are_zero_for_one_sample_state_it():
    assert {name for name in registered("metrics") if "samples" in described(name).needs} == {
        "sigma",
        "diversity",
        "lpips_pairs",
        "psnr_mean",
        "outside",
        "spread_skill",
    }
