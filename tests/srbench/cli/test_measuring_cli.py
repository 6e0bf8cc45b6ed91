"""srbench run --write-template, run BENCH.TOML, --dry-run, measure and score in a terminal."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from builders import everything

from srbench import metrics
from srbench.benchmark.sampler import Sampler
from srbench.data.datasets import Folder
from srbench.images.io import crop_to_multiple, header_size, read_uint8, write_png
from srbench.images.resize import downscale_uint8
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.words import amount

TEMPLATE = (files("srbench.benchmark") / "bench.toml").read_text(encoding="utf-8")


def one_line(found):
    assert (found.code, found.out, len(found.err.splitlines())) == (1, "", 1)
    return found.err


@pytest.fixture
def bench(photos, models):
    """A bench.toml of a small model and one that samples."""
    path = Path("bench.toml")
    path.write_text(
        f'models = ["{models}:Nearest", "{models}:Noisy"]\nscale = 4\ndata = "{photos}"\nmetrics = ["psnr"]\n'
        'temperature = [0, 0.8]\nsamples = 2\nlimit = 3\nout = "run"\n'
    )
    return path


@pytest.fixture
def run(command, bench):
    """Its finished run."""
    assert command("run", bench).code == 0
    return Path("run")


def test_a_dataset_with_the_name_of_a_folder(command, photos):
    assert photos == Path("photos").resolve()
    options = ("run", "--models", "bicubic", "--scale", 4, "--metrics", "psnr", "--limit", 1)
    line = "photos is the dataset of that name, not the folder here; for the folder, write ./photos\n"
    for _ in range(2):  # the second run has nothing to do
        made = command(*options, "--data", "photos", "--out", "dataset")
        assert made.code == 0, made.err
        assert made.err.count(line) == 1, made.err
    made = command(*options, "--data", "./photos", "--out", "folder")
    assert made.code == 0, made.err
    assert line not in made.err
    names = [set(read_manifest(Path(out)).images) for out in ("dataset", "folder")]
    assert len(names[0]) == 22, "the packaged photographs"
    assert len(names[1]) < 22


def test_the_template_runs(command, models, photos):
    found = command("run", "--write-template", "bench.toml")
    assert (found.code, found.out) == (0, "bench.toml: edit it, then srbench run bench.toml\n")
    assert Path("bench.toml").read_text() == TEMPLATE
    made = command("run", "bench.toml", "--models", "bicubic", "--data", photos, "--metrics", "psnr", "--out", "run")
    assert made.code == 0, made.err
    assert RunFolder.read(Path("run")).manifest.protocol.scale == 8


def test_every_key_of_the_template_is_read(command):
    """With the comments taken off all optional keys, too; hr and lr stand for data."""
    text = re.sub(r"^# (\w+ = [^#\n]+)", r"\1", TEMPLATE, flags=re.MULTILINE)
    assert text.count("\n") - text.count("\n#") > TEMPLATE.count("\n") - TEMPLATE.count("\n#")
    Path("all.toml").write_text(re.sub("(?m)^data = .*$", 'hr = "absent"\\nlr = "absent"', text))
    assert "absent: missing, not a folder" in one_line(command("run", "all.toml", "--device", "cpu"))


def test_run_reads_the_file_and_the_command_line_comes_before_it(command, bench, models):
    found = command("run", bench, "--temperature", "0.5", "--limit", "1")
    assert found.code == 0, found.err
    assert "Report: run/report/report.md" in found.out
    manifest = RunFolder.read(Path("run")).manifest
    assert [(one.model, one.temperature) for one in manifest.settings] == [("Nearest", None), ("Noisy", 0.5)]
    assert manifest.scope == manifest.images[:1]
    assert manifest.protocol.samples == 2
    assert command("run", bench).code == 0  # adds temperatures and images
    folder = RunFolder.read(Path("run"))
    assert sum(len(known.samples) for known in folder.by_image.values()) == 3 * 3 + 1
    assert "nothing to do: all 9 items are measured in run" in command("run", bench).err


def test_a_folder_pair_takes_the_place_of_data(command, bench, photos):
    Path("hr").mkdir()
    for name in "a", "c":
        write_png(Path("hr") / f"{name}.png", read_uint8(photos / f"{name}.png"))
        write_png(Path("lr") / f"{name}.png", downscale_uint8(read_uint8(photos / f"{name}.png"), 4))
    assert command("run", bench, "--hr", "hr", "--lr", "lr").code == 0
    assert RunFolder.read(Path("run")).manifest.images == ("a", "c")


def test_what_is_missing_in_the_file(command):
    Path("bench.toml").write_text("scale = 4\n")
    for arguments, fault in {
        ("bench.toml",): "bench.toml: models is missing; give --models, or write it into a file",
        ("bench.toml", "--models", "bicubic"): "",
        (): "the command line: models is missing; give --models, or write it into a file",
        ("--models", "bicubic"): "scale is missing, and no model states one",
    }.items():
        found = command("run", *arguments, "--dry-run")
        assert found.code == (2 if fault else 0)
        assert fault in found.err


CHANGES_FOLDER = """
import os
from pathlib import Path

import torch.nn.functional as F

from srbench.interfaces import ImageMetric, MetricInfo

HERE = Path(__file__).parent
os.chdir(HERE)


class Net:
    scale = 4

    def __init__(self):
        os.chdir(HERE)

    def __call__(self, lr):
        os.chdir(HERE)
        return F.interpolate(lr, scale_factor=4)


class Zero(ImageMetric):
    info = MetricInfo(name="zero", title="Zero", direction=1, protocol="a test")

    def __call__(self, samples, pair):
        os.chdir(HERE)
        return samples.mean((1, 2, 3))
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_plug_in_that_changes_the_folder_changes_none_of_the_paths_of_a_command(command, photos, workers):
    folder = Path.cwd()
    (folder / "elsewhere").mkdir()
    Path("elsewhere/net.py").write_text(CHANGES_FOLDER)
    before = sorted(path.name for path in Path("elsewhere").iterdir())
    words = "run --models elsewhere/net.py:Net,bicubic --scale 4 --data ./photos --metrics psnr,elsewhere/net.py:Zero"
    done = command(*words.split(), "--workers", workers, "--out", "run")
    assert done.code == 0, done.err
    assert "Report: run/report/report.md" in done.out
    assert Path.cwd() == folder
    assert len(read_manifest(folder / "run").images) == 4
    left = {path.name for path in (folder / "elsewhere").iterdir()} - {"__pycache__"}
    assert left == set(before), "nothing lands beside the plug-in"


def test_outputs_of_images_that_have_changed_are_named_below_the_table(command, photos, draw_image):
    words = ("run", "--scale", 4, "--data", photos, "--metrics", "psnr", "--out", "run", "--models")
    assert "Left out" not in command(*words, "bicubic").out
    write_png(photos / "a.png", draw_image(99, 32, 32))
    done = command(*words, "rrdb")
    assert "Left out, because code, weights or images have changed since: 1 of bicubic. Run them again." in done.out


def test_a_dry_run_says_what_is_left_and_writes_nothing(command, bench, photos, monkeypatch):
    before = everything(Path())
    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "sample", lambda *_: pytest.fail("a model runs"))
        patch.setattr(Folder, "read", lambda *_: pytest.fail("an image is read"))
        found = command("run", bench, "--dry-run")
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    pixels = [math.prod(header_size(path)) for path in sorted(photos.iterdir())[:3]]
    files = [size for each in pixels for size in (each // 16, *6 * [each])]  # LR, HR, 1 and twice 2 outputs
    most = sum(3.1 * size + 500 for size in files)
    assert lines == [
        "folder: run (new)",
        "The command asks for 3 settings on 3 images: 9 items.",
        "Left: 9 to sample and measure, 0 sampled but not fully measured.",
        "  Nearest: 3 images",
        "  Noisy-t0: 3 images",
        "  Noisy-t0.8: 3 images",
        f"disk space: at most {amount(most, 'B')}, without the report",
    ]
    assert everything(Path()) == before
    command("run", bench, "--limit", "2")
    before = everything(Path("run"))
    lines = command("run", bench, "--dry-run", "--metrics", "psnr,sigma").out.splitlines()
    assert lines[:3] == [
        "folder: run",
        "The command asks for 3 settings on 3 images: 9 items.",
        "Left: 3 to sample and measure, 6 sampled but not fully measured.",
    ]
    command("run", bench)
    assert command("run", bench, "--dry-run").out.splitlines()[1:] == [
        "The command asks for 3 settings on 3 images: 9 items.",
        "Nothing is left to do.",
    ]
    assert before.keys() <= everything(Path("run")).keys()
    saved = [file.stat().st_size for file in Path("run/images").rglob("*.png")]
    assert len(saved) == len(files)
    assert sum(saved) < most


def test_a_dry_run_counts_what_was_asked_for_even_of_images_that_are_gone(command, bench, models, photos):
    command("run", bench)
    more = ("--models", f"{models}:Nearest", "--metrics", "psnr,sigma", "--dry-run")
    lines = command("run", bench, *more).out.splitlines()
    assert lines[1:] == [
        "The command asks for 1 setting on 3 images: 3 items.",
        "Left: 0 to sample and measure, 9 sampled but not fully measured.",
    ]
    for path in sorted(photos.iterdir())[:3]:
        path.unlink()
    found = command("run", bench, *more)
    assert found.code == 0, found.err
    assert found.out.splitlines()[3:5][0] == "  Nearest: 1 image", "the fourth, which takes their place"


def test_a_dry_run_fails_where_the_run_would(command, bench, models):
    assert "has scale 4, but scale 8 is requested" in one_line(command("run", bench, "--scale", "8", "--dry-run"))
    Path("full").mkdir()
    Path("full", "thesis.txt").write_text("")
    assert "full: not empty, and not a run folder" in one_line(command("run", bench, "--out", "full", "--dry-run"))
    command("run", bench)
    assert "run: holds results of seed 0, not of seed 1" in one_line(command("run", bench, "--seed", "1", "--dry-run"))


@pytest.fixture
def folders(photos, draw_image):
    """HR, LR and results, of which c has two samples."""
    for seed, (name, size) in enumerate({"a": (32, 32), "c": (40, 32)}.items()):
        hr = draw_image(seed, *size)
        write_png(Path("hr") / f"{name}.png", hr)
        write_png(Path("lr") / f"{name}.png", downscale_uint8(hr, 4))
    write_png(Path("sr") / "a.png", draw_image(10, 32, 32))
    write_png(Path("sr") / "c_sample0.png", draw_image(11, 40, 32))
    write_png(Path("sr") / "c_sample1.png", draw_image(12, 40, 32))
    return "sr", "--hr", "hr"


def expected():
    """Values from the functions of srbench.metrics."""
    hr, lr = ({name: read_uint8(Path(kind) / f"{name}.png") for name in "ac"} for kind in ("hr", "lr"))
    outputs = {"a": read_uint8(Path("sr/a.png"))[None]}
    outputs["c"] = torch.stack([read_uint8(Path(f"sr/c_sample{number}.png")) for number in (0, 1)])
    return {
        name: {
            "psnr": metrics.psnr(images, hr[name]).tolist(),
            "ssim": metrics.ssim(images, hr[name]).tolist(),
            "lr_psnr": metrics.lr_psnr(images, lr[name]).tolist(),
            "pique": metrics.pique(images).tolist(),
            "sigma": metrics.sigma(images),
        }
        for name, images in outputs.items()
    }


NAMES = ("psnr", "ssim", "lr_psnr", "pique", "sigma")


def test_measure_as_json(command, folders):
    found = command("measure", *folders, "--lr", "lr", "--metrics", ",".join(NAMES), "--format", "json")
    assert found.code == 0, found.err
    facts, values = json.loads(found.out), expected()
    assert facts["images"] == values
    assert facts["signatures"]["psnr"] == "PSNR|RGB|floor|crop0|v1"
    assert facts["signatures"]["sigma"] == "SIGMA|RGB|float|ddof1|v1|n1-2", "one image, and two of another"
    mean = (values["a"]["psnr"][0] + sum(values["c"]["psnr"]) / 2) / 2
    assert facts["mean"]["psnr"] == pytest.approx(mean)
    assert facts["failures"] == []


def test_measure_as_csv_and_as_table(command, folders):
    options = (*folders, "--lr", "lr", "--metrics", ",".join(NAMES))
    lines = list(csv.DictReader(io.StringIO(command("measure", *options, "--format", "csv").out)))
    values = expected()
    assert len(lines) == 4 * 1 + 1 + 4 * 2 + 1
    for line in lines:
        value = values[line["image"]][line["metric"]]
        assert float(line["value"]) == (value if line["sample"] == "" else value[int(line["sample"])])
        assert line["signature"].startswith(line["metric"].upper().replace("_", "-"))
    table = command("measure", *options).out
    assert f"{values['a']['psnr'][0]:.2f}" in table
    assert "mean of 2" in table
    assert "finite values" not in table


def test_measure_of_equal_images(command, folders):
    """Infinite values are texts in JSON, and stay out of the mean."""
    write_png(Path("sr/a.png"), read_uint8(Path("hr/a.png")))
    facts = json.loads(command("measure", *folders, "--metrics", "psnr", "--format", "json").out)
    assert facts["images"]["a"]["psnr"] == ["inf"]
    assert math.isfinite(facts["mean"]["psnr"])
    assert facts["finite"] == {"psnr": 1}
    assert "mean of 1 of 2" in command("measure", *folders, "--metrics", "psnr").out


def test_measure_of_names_that_end_like_samples(command, folders):
    """HR images a_sample0 and a_sample1 have results of their own."""
    for kind in "hr", "sr":
        for number in 0, 1:
            write_png(Path(kind) / f"a_sample{number}.png", read_uint8(Path(kind) / "a.png"))
    facts = json.loads(command("measure", *folders, "--metrics", "psnr", "--format", "json").out)
    assert sorted(facts["images"]) == ["a", "a_sample0", "a_sample1", "c"]
    assert facts["images"]["a_sample0"] == facts["images"]["a"]


def test_measure_goes_on_after_a_fault(command, folders, draw_image):
    write_png(Path("sr/a.png"), draw_image(0, 28, 32))
    found = command("measure", *folders, "--metrics", "psnr,niqe", "--format", "json")
    assert found.code == 1
    facts = json.loads(found.out)
    assert facts["failures"][0] == "a: the image is 32x28 and the reference 32x32; make them the same size"
    assert [list(values) for values in facts["images"].values()] == [[], ["psnr"]]
    assert "failed: a: the image is 32x28" in found.err
    assert "too few for NIQE" in found.err
    assert facts["mean"]["niqe"] == "nan"


def test_measure_of_the_hr_images_of_a_run(command, run, photos):
    """What a metric that needs no HR says about HR: that of the whole photograph, as its sides divide by the scale."""
    found = command("measure", run / "images" / "hr", "--metrics", "pique", "--format", "json")
    assert found.code == 0, found.err
    values = json.loads(found.out)["images"]
    assert list(values) == list(read_manifest(run).scope)
    assert values["a"] != values["c"]
    assert values["a"]["pique"] == metrics.pique(read_uint8(photos / "a.png")[None]).tolist()


def test_score_adds_metrics_without_models(command, run, models):
    models.unlink()
    before = RunFolder.read(run)
    found = command("score", run, "--metrics", "ssim")
    assert found.code == 0, found.err
    assert "SSIM" in found.out
    assert "Report: run/report/report.md" in found.out
    after = RunFolder.read(run)
    for image, known in after.by_image.items():
        assert known.samples == before.by_image[image].samples
        assert len(after.scores[image]) == 2 * len(before.scores[image])
    assert after.manifest.invocations[-1].command == "srbench score run --metrics ssim"
    items = sum(len(known.samples) for known in after.by_image.values())
    assert items > 1
    assert f"nothing to do: all {items} items are measured in run" in command("score", run, "--metrics", "ssim").err


def test_the_scale_of_weights_and_classes_may_be_left_out(command, photos, models):
    weights = files("baselines") / "weights" / "rrdb-mini-x4.safetensors"
    options = ["--data", photos, "--limit", "1", "--metrics", "psnr"]
    assert command("run", "--models", f"bicubic,rrdb:{weights}", *options, "--out", "one").code == 0
    assert command("run", "--models", f"{models}:Nearest", *options, "--out", "two").code == 0
    assert {read_manifest(Path(run)).protocol.scale for run in ("one", "two")} == {4}
    other = files("baselines") / "weights" / "rrdb-mini-x8.safetensors"
    several = command("run", "--models", f"rrdb:{weights},esrgan:{other}", *options)
    assert several.code == 1
    assert "the models are made for several scales" in several.err


@pytest.fixture
def three(photos):
    """Folders ours and theirs of three samples of every photo, and a suite of a metric of all samples."""
    Path("spread.toml").write_text(
        'name = "spread"\nversion = 1\nmetrics = ["psnr", "sigma"]\nsamples = 10\nabout = "s"\n'
    )
    for path in sorted(photos.glob("*.png")):
        for label, step in (("ours", 3), ("theirs", 5)):
            for sample in range(3):
                level = crop_to_multiple(read_uint8(path), 4).int() + step * sample
                write_png(Path(label) / f"{path.stem}_sample{sample}.png", level.clamp(0, 255).to(torch.uint8))
    return "ours=ours,theirs=theirs"


def test_outputs_made_elsewhere_are_measured_with_the_samples_that_there_are(command, photos, three):
    options = ("--scale", 4, "--data", photos, "--suite", "spread.toml", "--out", "run")
    for _ in range(2):  # the second time from the run folder
        done = command("run", "--models", three, *options)
        assert done.code == 0, done.err
        assert "–" not in done.out
        assert "SIGMA|RGB|float|ddof1|v1|n3" in done.out
    assert read_manifest(Path("run")).protocol.samples == 3
    done = command("run", "--models", f"bicubic,{three}", *options[:-1], "mixed")
    line = (
        "No sigma for models without 10 samples per image (ours 3, theirs 3); --samples 3 with a new --out "
        "measures them."
    )
    assert done.out.count(line) == 1
