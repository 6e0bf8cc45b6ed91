"""Runs at scale 1, such as denoising: LR is the input, as large as HR;
what needs downscaling is left out or refused."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from page_data import data_of

import srbench
from srbench.images.io import read_uint8, write_png
from srbench.run_folder.folder import RunFolder

NOISE = 'name = "noise"\nversion = 1\n\n[[steps]]\nkind = "noise"\nsigma = 20\n'
LEFT_OUT = "LR-PSNR is left out: it needs a scale of 2 or more, and the scale is 1."
MODELS = """
import torch


class Mean(torch.nn.Module):
    scale = 1

    def forward(self, noisy):
        return torch.nn.functional.avg_pool2d(noisy, 3, 1, 1, count_include_pad=False)


class Noisier:
    scale = 1

    def sample(self, noisy, n, *, temperature, generator):
        return noisy + 0.1 * temperature * torch.randn((n, *noisy.shape), generator=generator)
"""


@pytest.fixture
def here(photos, command):
    """The folder of photos, with models of scale 1 and degradations beside it."""
    Path("models.py").write_text(MODELS)
    Path("noise.toml").write_text(NOISE)
    Path("small.toml").write_text(
        'name = "small"\nversion = 1\nquantize = "floor"\nmetrics = ["psnr", "lr_psnr"]\nabout = "two"\n'
    )
    return photos


@pytest.fixture
def denoise(here, command):
    """Run a denoiser and the input on noisy photographs; further options follow."""

    def call(*options, models="input=bicubic,models.py:Mean"):
        words = ["run", "--models", models, "--suite", "small.toml", "--out", "run"]
        data = [] if {"--hr", "--lr", "--data"} & set(options) else ["--data", here, "--degrade", "noise.toml"]
        return command(*words, *data, *options)

    return call


def values(path="run/report/rows.csv"):
    lines = csv.DictReader(Path(path).read_text().splitlines())
    return {(line["model"], line["image"], line["metric"]): float(line["value"]) for line in lines}


def test_a_denoiser_is_measured_on_degraded_images_and_proven(denoise, command, here):
    done = denoise()  # the scale is that of the models
    assert done.code == 0, done.err
    assert LEFT_OUT in done.out
    folder = RunFolder.read(Path("run"))
    assert folder.manifest.protocol.scale == 1
    assert [metric.name for metric in folder.manifest.metrics] == ["psnr"]
    for name in "abcd":
        noisy, hr = read_uint8(Path(f"run/images/lr/{name}.png")), read_uint8(Path(f"run/images/hr/{name}.png"))
        assert torch.equal(hr, read_uint8(here / f"{name}.png"))  # nothing is cropped
        assert noisy.shape == hr.shape
        assert 10 < (noisy.double() - hr.double()).std() < 25
        assert torch.equal(noisy, read_uint8(Path(f"run/images/input/{name}.png")))
        assert values()["input", name, "psnr"] == srbench.metrics.psnr(noisy, hr=hr)
    found = command("verify", "run", "--resample", "all")
    assert "run: proven: 8 of 8 values" in found.out, found.out


def test_the_report_calls_lr_the_input(denoise):
    assert denoise().code == 0
    report = Path("run/report")
    text, page = (report / "report.md").read_text(), (report / "report.html").read_text()
    assert text.startswith("# Restoration: input, Mean\n")
    assert f"> {LEFT_OUT}" in text
    assert "- input: made from HR by noise@1: noise sigma 20; random seed 0\n" in text
    assert "<dt>input</dt><dd>made from HR by noise@1" in page
    assert "<h1>Restoration: input, Mean</h1>" in page
    columns = data_of(page)["columns"]
    assert [(column["id"], column["title"]) for column in columns[:2]] == [("lr", "input"), ("hr", "HR")]
    tex = (report / "table.tex").read_text()
    assert r"\caption{Restoration on photos (4 images, input made from HR by noise@1" in tex
    assert not re.search(r"\bLR\b(?!-PSNR)|\b1x\b", text + tex)


def test_pairs_tell_scale_one(denoise, here):
    for path in sorted(here.iterdir()):
        noisy = read_uint8(path).int() + 7
        write_png(Path("noisy") / path.name, noisy.clamp(0, 255).to(torch.uint8))
    done = denoise("--hr", here, "--lr", "noisy", models="input=bicubic")
    assert done.code == 0, done.err
    assert RunFolder.read(Path("run")).manifest.protocol.scale == 1


def test_a_sampling_model_and_outputs_made_elsewhere(denoise, here, command):
    assert denoise(models="models.py:Mean").code == 0
    Path("run/images/Mean").rename("outputs")
    words = ("--out", "all", "--samples", "2", "--scale", "1", "--metrics", "psnr,sigma")
    done = denoise(*words, models="models.py:Noisier,elsewhere=outputs")
    assert done.code == 0, done.err
    assert values("all/report/rows.csv")["Noisier", "a", "sigma"] > 0
    assert values("all/report/rows.csv")["elsewhere", "a", "psnr"] == values()["Mean", "a", "psnr"]


def test_a_network_of_an_architecture_that_spandrel_knows(denoise):
    """Its scale, 1, is read from the file."""
    nafnet = pytest.importorskip("spandrel.architectures.NAFNet")
    torch.manual_seed(0)
    network = nafnet.NAFNet(img_channel=3, width=4, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1])
    torch.save(network.state_dict(), "naf.pth")
    done = denoise("--metrics", "psnr", models="naf.pth")
    assert done.code == 0, done.err
    assert [image for _, image, _ in values()] == list("abcd")


def test_images_without_hr(denoise, here):
    done = denoise("--lr", here, "--metrics", "pique", models="models.py:Mean")
    assert done.code == 0, done.err
    assert not RunFolder.read(Path("run")).has_hr


@pytest.mark.parametrize(
    ("options", "models", "fault"),
    [
        (
            ["--metrics", "psnr,lr_psnr,colour_shift"],
            "Mean",
            "LR-PSNR, colour shift need a scale of 2 or more; leave them",
        ),
        (["--metrics", "lr_psnr_worst"], "Mean", "LR-PSNR worst needs a scale of 2 or more; leave it out of --metrics"),
        ([], "Mean+consistent", "scale 1 has no downscaling to be consistent with; omit +consistent"),
        (["--degrade", "bicubic"], "Mean", "degradation bicubic has the step downscale, but scale 1 keeps the size"),
        (["--degrade", "real-esrgan"], "Mean", "degradation real-esrgan has the step rescale, but scale 1 keeps"),
        (["--degrade", "bsrgan"], "Mean", "degradation bsrgan has the step shuffle, but scale 1 keeps the size"),
        (
            ["--data", "photos"],
            "Mean",
            "at scale 1, bicubic downscaling leaves photos as it is; degrade it with --degrade",
        ),
        (["--data", "photos", "--scale", "4"], "Mean", "has scale 1, but scale 4 is requested; use scale 1"),
        (
            ["--scale", "2", "--models", "bicubic"],
            "Mean",
            "degradation noise keeps the size, for scale 1; for scale 2 add",
        ),
        (["--models", "rrdb", "--scale", "1"], "Mean", "rrdb"),
    ],
)
def test_what_does_not_apply_is_refused_in_one_line(denoise, options, models, fault):
    refused = denoise(*options, models=f"models.py:{models}")
    assert refused.code == 1
    assert fault in refused.err.splitlines()[-1]
    assert refused.err.count("srbench: ") == 1
    assert not Path("run").exists()


def test_metrics_added_later_need_downscaling_too(denoise, command):
    assert denoise().code == 0
    refused = command("score", "run", "--metrics", "lr_psnr")
    assert refused.code == 1
    assert "LR-PSNR needs a scale of 2 or more; leave it out of --metrics" in refused.err
    assert command("score", "run", "--metrics", "ssim").code == 0


def test_measure_takes_the_scale_of_equal_sizes(denoise, command, here):
    assert denoise().code == 0
    given = ["measure", "run/images/Mean", "--hr", here, "--lr", "run/images/lr", "--suite", "small.toml"]
    table = command(*given)
    assert table.code == 0, table.err
    assert LEFT_OUT in table.out
    assert LEFT_OUT in command(*given, "--format", "md").out
    measured = json.loads(command(*given, "--format", "json").out)
    assert measured["images"] == {name: {"psnr": [values()["Mean", name, "psnr"]]} for name in "abcd"}
    bordered = command(*given, "--metrics", "psnr+border=scale", "--format", "json")
    hr, output = (read_uint8(folder / "a.png")[:, 1:-1, 1:-1] for folder in (here, Path("run/images/Mean")))
    [expected] = json.loads(bordered.out)["images"]["a"].values()
    assert expected == [srbench.metrics.psnr(output, hr=hr)]
    refused = command(*given, "--metrics", "lr_psnr")
    assert refused.code == 1
    assert "LR-PSNR needs a scale of 2 or more; leave it out of --metrics" in refused.err
    assert LEFT_OUT not in command(*given, "--metrics", "psnr").out


def test_input_of_another_size_is_refused(denoise, command, here):
    for path in here.iterdir():
        write_png(Path("noisy") / path.name, read_uint8(path)[:, 1:])
    refused = command("measure", here, "--hr", here, "--lr", "noisy", "--metrics", "psnr")
    assert refused.code == 1
    assert "a: 32x32 is not a whole number of times as large as LR of 32x31" in refused.err
    refused = command("measure", here, "--hr", here, "--lr", here, "--scale", "2", "--metrics", "psnr")
    assert "a: the image of 32x32 is not 2 times as large as LR of 32x32" in refused.err
    refused = denoise("--hr", here, "--lr", "noisy", "--scale", "1")
    assert refused.code == 1
    assert "a: HR of 32x32 is not 1 times LR of 32x31; give the scale they were made with" in refused.err


def test_degraded_images_are_written_and_pair(command, here):
    done = command("data", "degrade", here, "--degrade", "noise.toml", "--scale", "1", "--out", "noisy")
    assert done.code == 0, done.err
    assert read_uint8(Path("noisy/b.png")).shape == (3, 33, 42)
    refused = command("data", "degrade", here, "--degrade", "blur-noise-jpeg", "--scale", "1", "--out", "other")
    assert (refused.code, Path("other").exists()) == (1, False)
    assert "degradation blur-noise-jpeg has the step downscale" in refused.err


@pytest.mark.parametrize("words", [["upscale", "a.png"], ["explore"], ["edit", "restore", "a.png"]])
def test_commands_that_downscale_or_upscale_take_two_or_more(command, words):
    refused = command(*words, "--models", "srflow", "--scale", "1")
    assert refused.code == 2
    assert "'1' is not a whole number of 2 or more." in refused.err


def test_trainings_refuse_scale_one(command, here):
    preset = Path(srbench.__file__).parents[1] / "baselines/presets/rrdb/mini-x4.toml"
    Path("one.toml").write_text(preset.read_text().replace("scale = 4", "scale = 1"))
    refused = command("train", "rrdb", "--preset", "one.toml", "--data", here, "--out", "training")
    assert refused.code == 1
    assert "scale" in refused.err.splitlines()[-1]
    assert not Path("training").exists()


def test_explain_tries_the_crops_of_scale_one(denoise, command, here):
    assert denoise().code == 0
    hr, output = (read_uint8(folder / "c.png")[:, 4:-4, 4:-4] for folder in (here, Path("run/images/Mean")))
    for folder in ("one", "hr"):
        Path(folder).mkdir()
    Path("run/images/Mean/c.png").rename("one/c.png")
    (here / "c.png").rename("hr/c.png")
    value = f"{srbench.metrics.psnr(output, hr=hr):.4f}"
    found = command("explain", value, "--metrics", "psnr", "--sr", "one", "--hr", "hr", "--scale", "1")
    assert found.code == 0, found.err
    assert found.out.startswith(f"{value} is PSNR on RGB, crop 4"), found.out
