"""Metrics are added from the kept images: no model runs, and the values are those of a whole run."""

from __future__ import annotations

import json

import pytest
from record_runs import values_that_count

from srbench.benchmark.run import run, score_run
from srbench.benchmark.sampler import Sampler
from srbench.run_folder.folder import RunFolder
from srbench.verification.verify import verify


@pytest.fixture
def count_samples(monkeypatch):
    """The calls of models from now on."""
    calls = []
    sample = Sampler.sample

    def counted(sampler, model, pair, *rest):
        calls.append(pair.name)
        return sample(sampler, model, pair, *rest)

    monkeypatch.setattr(Sampler, "sample", counted)
    return calls


def test_metrics_are_added_without_models(finished, spec, changed, count_samples, tmp_path):
    kept = (finished / "samples.jsonl").read_bytes()
    before = (finished / "rows.jsonl").read_text()
    outcome = score_run(finished, ["lr_psnr", "ssim"])
    assert (outcome.sampled, outcome.scored, outcome.failures) == (0, 9, ())
    assert count_samples == []
    assert (finished / "samples.jsonl").read_bytes() == kept
    assert (finished / "rows.jsonl").read_text().startswith(before)
    assert score_run(finished, ["lr_psnr"]).scored == 0
    whole = run(changed(metrics=("psnr", "ssim", "lr_psnr", "sigma"), out=str(tmp_path / "whole"))).folder
    assert values_that_count(finished) == values_that_count(whole)
    assert [metric.name for metric in RunFolder.read(finished).manifest.metrics] == ["psnr", "ssim", "lr_psnr", "sigma"]
    assert verify(finished).holds
    assert len(RunFolder.read(finished).manifest.invocations) == 2


def test_what_was_not_kept_is_sampled_again_from_its_seed(changed, count_samples, tmp_path):
    many = changed(samples=7, metrics=("psnr",), temperature=(0.8,))
    folder = run(many).folder
    count_samples.clear()
    outcome = score_run(folder, ["ssim"])
    assert count_samples == ["a", "b", "c"], "noisy alone: of seven samples five are kept"
    assert (outcome.sampled, outcome.scored) == (0, 6)
    whole = run(changed(samples=7, metrics=("psnr", "ssim"), temperature=(0.8,), out=str(tmp_path / "whole"))).folder
    assert values_that_count(folder) == values_that_count(whole)


def test_removed_images_are_sampled_again(finished, changed, count_samples, tmp_path):
    for path in (finished / "images" / "noisy-t0.8").iterdir():
        path.unlink()
    score_run(finished, ["lr_psnr"])
    assert count_samples == ["a", "b", "c"]
    whole = run(changed(metrics=("psnr", "ssim", "lr_psnr", "sigma"), out=str(tmp_path / "whole"))).folder
    assert values_that_count(finished) == values_that_count(whole)


def test_what_sees_the_model_s_own_numbers_is_sampled_again(changed, count_samples, tmp_path):
    folder = run(changed(metrics=("psnr",))).folder
    count_samples.clear()
    score_run(folder, ["sigma"])
    assert len(count_samples) == 9
    whole = values_that_count(run(changed(out=str(tmp_path / "whole"))).folder)
    assert values_that_count(folder) == {
        place: value for place, value in whole.items() if place[-1] in ("psnr", "sigma")
    }


def test_a_metric_that_fails_leaves_the_others(finished, command):
    done = command("score", finished, "--metrics", "niqe,lr_psnr")
    assert done.code == 1
    assert "NIQE" in done.err
    assert "9 results could not be measured" in done.err
    rows = [json.loads(line) for line in (finished / "rows.jsonl").read_text().splitlines()]
    assert sum(row["metric"] == "lr_psnr" and not row["error"] for row in rows) == 9
    failed = [row for row in rows if row["metric"] == "niqe"]
    assert {row["value"] for row in failed} == {None}
    command("score", finished, "--metrics", "niqe")
    rows = [json.loads(line) for line in (finished / "rows.jsonl").read_text().splitlines()]
    assert sum(row["metric"] == "niqe" for row in rows) == 18, "the next command tries again"
    assert verify(finished).holds
    text = (finished / "report" / "report.md").read_text()
    assert "Values are missing, and left out of the means: NIQE (LIVE) of near on 3 images" in text
