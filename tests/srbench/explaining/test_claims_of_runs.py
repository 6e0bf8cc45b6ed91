"""``srbench run --claims``: rows by setting and model, saved images, other data, and the packaged files of claims."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from srbench.data.benchmark_sets.table import benchmark_sets
from srbench.explaining.claims import read_claims
from srbench.images.io import read_uint8
from srbench.metrics import psnr
from srbench.reporting.writers.claims import judged_run

CLAIMS = Path(__file__).parents[3] / "examples" / "claims"
LUMA = "psnr+channels=Y+border=4"


@pytest.fixture
def run(command, photos, models, tmp_path):
    """Run ``srbench run`` with two models, one of them at two temperatures, and a file of claims."""

    def call(claims, *options):
        (tmp_path / "claims.toml").write_text(claims)
        names = f"near={tmp_path}/models.py:Nearest,noisy={tmp_path}/models.py:Noisy"
        request = ("--models", names, "--scale", 4, "--data", photos, "--samples", 2, "--temperature", "0.3,0.8")
        return command(
            "run", *request, "--metrics", f"psnr,{LUMA}", "--out", "run", "--claims", "claims.toml", *options
        )

    return call


def claim(row, metric, value):
    return f'[[claim]]\nrow = "{row}"\nmetric = "{metric}"\nvalue = "{value}"\n'


def results(done):
    """Verdicts by row and claim."""
    lines = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in done.out.splitlines()]
    return {line[0]: line[2] for line in lines if len(line) == 3 and " psnr" in line[0]}


@pytest.fixture
def means(run):
    """Unrounded means of the run, by the name of a setting and the metric."""
    assert run(claim("near", "psnr", "99.12"), "--limit", 3).code == 1, "not reproduced"
    table = pd.read_csv("run/report/table.csv")
    names = [
        row.model if math.isnan(row.temperature) else f"{row.model}-t{row.temperature}" for row in table.itertuples()
    ]
    return table.set_index(pd.Index(names))


def test_a_claim_names_a_setting_or_a_model(run, means):
    claims = (
        claim("near", "psnr", f"{means.psnr['near']:.3f}")
        + claim("noisy-t0.8", "psnr", f"{means.psnr['noisy-t0.8']:.3f}")
        + claim("noisy-t0.3", LUMA, f"{means.psnr['noisy-t0.8']:.3f}")
        + claim("noisy", "psnr", "20.12")
    )
    done = run(claims, "--limit", 3)
    assert done.code == 1
    first, second, third, fourth = results(done).values()
    assert first.startswith("reproduced, chance")
    assert second.startswith("reproduced, chance")
    assert third.startswith("not reproduced: nearest: ")
    assert fourth.startswith("not measured: unknown row 'noisy'; did you mean noisy-t0.")
    assert done.out.index("PSNR") < done.out.index("claim")


def test_a_claim_about_the_first_sample(run, means):
    images = sorted(Path("run/images/hr").iterdir())
    values = [
        psnr(read_uint8(Path("run/images/noisy-t0.3", f"{hr.stem}_sample0.png")), read_uint8(hr)) for hr in images
    ]
    done = run(claim("noisy-t0.3", "psnr", f"{sum(values) / len(values):.4f}"), "--limit", 3)
    words = " ".join(done.out.split())
    assert "reproduced under another protocol: RGB, no crop, the first sample of each image" in words
    assert "2 samples of each image are compared; protocols take their mean or the first alone" in words


def test_a_failed_image_is_said_beside_values_that_lack_it(run, photos, small_inception):
    (photos / "damaged.png").write_bytes(b"no image")
    published = {"psnr": "99.12", "fid": "9.12", "parameters": "0.000"}
    done = run(
        "".join(claim("near", metric, value) for metric, value in published.items()), "--metrics", ",".join(published)
    )
    assert "near, psnr: mean of 4 of 5 images" in done.out
    assert "near, fid: it is of all images, and 1 result could not be measured" in done.out
    assert "near, parameters: " not in done.out, "a value of the model"


def test_other_protocols_are_tried_on_saved_images(run, means):
    value = f"{means['psnr_channels_Y_border_4']['noisy-t0.3']:.3f}"
    done = run(claim("noisy-t0.3", "psnr", value), "--limit", 3)
    assert done.code == 0, done.err
    assert "reproduced under another protocol: Y of BT.601 (16..235), rounded, crop 4" in " ".join(done.out.split())
    shutil.rmtree("run/images")
    [result] = judged_run(read_claims(Path("claims.toml"), ["psnr"], "srflow"), Path("run")).results
    assert result.text == "not reproduced: no other protocol was tried"


@pytest.mark.parametrize(
    ("stated", "options", "words"),
    [
        ('data = "set5"', (), "data set5, measured photos"),
        ("scale = 8", (), "scale 8, measured 4"),
        ("images = 3", ("--limit", 2), "images 3, measured 2"),
        ('data = "photos"', ("--crop", 24), "whole images, measured their central 24 pixels"),
    ],
)
def test_claims_about_other_data_are_not_judged(run, stated, options, words):
    done = run(f"{stated}\n" + claim("near", "psnr", "20.12"), *options)
    assert done.code == 1
    assert f"srbench: claims.toml: its claims are about other data ({words}), so none is judged" in done.err
    assert "near" in done.out, "the table is shown"
    assert "reproduced" not in done.out


def test_faults_are_said_before_the_run(run):
    assert "'ssim' is not measured" in run(claim("near", "ssim", "0.9")).err
    assert not Path("run").exists()
    done = run(claim("near", "psnr", "20.12"), "--suite", "srflow,classic-y")
    assert (done.code, "--claims goes with a single run" in done.err) == (2, True)


@pytest.mark.parametrize("path", sorted(CLAIMS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_packaged_claims(path):
    """They state their data and source; the command that a file names is about its data, and prints its columns."""
    text = path.read_text()
    option = dict(re.findall(r"--(suite|scale|data|claims|models) (\S+)", text))
    claims = read_claims(path, None, option["suite"]).file
    assert benchmark_sets()[claims.data].images == claims.images
    assert claims.scale in (2, 3, 4, 8)
    assert all(each.source for each in claims.claim)
    assert len(claims.claim) >= 8
    published = [(each.row, each.metric, each.source) for each in claims.claim]
    assert len(set(published)) == len(published), "a value is published twice"
    if "models" in option:
        assert option["claims"] == f"examples/claims/{path.name}"
        assert (option["data"], option["scale"]) == (claims.data, str(claims.scale))
        labels = {re.split("[=:]", model)[0] for model in option["models"].split(",")}
        rows = {each.row.partition("-t")[0] for each in claims.claim}
        assert labels <= rows, "a model without a published value"


def test_the_classic_tables_are_packaged():
    """Set5, Set14, BSD100 and Urban100 at 2x, 3x and 4x have the same rows, and better networks higher PSNR."""
    for data in ("set5", "set14", "bsd100", "urban100"):
        for scale in (2, 3, 4):
            path = CLAIMS / f"{data}-x{scale}.toml"
            psnr, ssim = (
                {
                    each.row: float(each.value)
                    for each in read_claims(path, None, "classic-y").file.claim
                    if each.metric == metric
                }
                for metric in ("psnr", "ssim")
            )
            assert list(psnr) == list(ssim)
            rising = ["bicubic-unrounded", "edsr", "rcan", "swinir-div2k", "swinir-df2k", "hat"]
            assert set(psnr) - {"bicubic"} == set(rising)
            for values in (psnr, ssim):
                assert sorted(rising, key=values.__getitem__) == rising, (path.name, values)
