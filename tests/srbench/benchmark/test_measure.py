"""srbench measure without references, with LR alone, and with the scale."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from builders import measure_folder

from srbench import metrics
from srbench.benchmark import measure
from srbench.images.io import read_uint8, write_png
from srbench.images.resize import downscale_uint8
from srbench.interfaces import SRBenchError
from srbench.models import inference


@pytest.fixture
def folders(tmp_path, draw_image, monkeypatch):
    """Folders sr, hr and lr of two images, 4 times as large as LR."""
    monkeypatch.chdir(tmp_path)
    for seed, (name, size) in enumerate({"a": (96, 100), "c": (100, 96)}.items()):
        hr = draw_image(seed, *size)
        write_png(Path("hr") / f"{name}.png", hr)
        write_png(Path("lr") / f"{name}.png", downscale_uint8(hr, 4))
        write_png(Path("sr") / f"{name}.png", draw_image(10 + seed, *size))
    return tuple(map(Path, ("sr", "hr", "lr")))


def names(measured):
    return [one.name for one in measured.metrics]


def test_without_references_the_metrics_that_need_none(folders):
    found = measure_folder(folders[0])
    assert names(found) == ["niqe", "brisque", "pique"]
    assert not found.failures
    image = read_uint8(Path("sr/a.png"))
    values = {name: [getattr(metrics, name)(image)] for name in ("niqe", "brisque", "pique")}
    assert found.values["a"] == values
    assert measure_folder(folders[0], workers=2).values == found.values


def test_samples_of_one_image_share_its_name_and_have_a_deviation(folders):
    for number in 0, 1:
        write_png(Path("sr") / f"b_sample{number}.png", read_uint8(Path(f"sr/{'ac'[number]}.png"))[:, :96, :96])
    found = measure_folder(folders[0])
    assert names(found) == ["niqe", "brisque", "pique", "sigma"]
    assert list(found.values) == ["a", "b", "c"]
    both = torch.stack([read_uint8(Path(f"sr/b_sample{number}.png")) for number in (0, 1)])
    assert found.values["b"]["sigma"] == metrics.sigma(both)


def test_lr_alone_tells_the_scale(folders):
    found = measure_folder(folders[0], lr=folders[2])
    assert names(found) == ["lr_psnr", "niqe", "brisque", "pique"]
    expected = metrics.lr_psnr(read_uint8(Path("sr/c.png")), read_uint8(Path("lr/c.png")))
    assert found.values["c"]["lr_psnr"] == [expected]


def test_a_scale_that_cannot_be_told(folders, draw_image):
    """A border cropped by the scale would be that of another scale."""
    write_png(Path("lr/a.png"), draw_image(0, 25, 26))
    for hr, metric in ((folders[1], "psnr"), (None, "lr_psnr")):
        with pytest.raises(
            SRBenchError, match="a: 100x96 is not a whole number of times as large as LR of 26x25; crop it"
        ):
            measure_folder(folders[0], hr, lr=folders[2], names=[metric])
    found = measure_folder(*folders[:2], lr=folders[2], names=["psnr"], scale=4)
    assert [fault.partition(";")[0] for fault in found.failures] == [
        "a: the image of 100x96 is not 4 times as large as LR of 26x25"
    ]
    assert (found.values["a"], set(found.values["c"])) == ({}, {"psnr"})
    write_png(Path("lr/a.png"), draw_image(0, 48, 50))
    with pytest.raises(SRBenchError, match=r"pairs differ in scale \(a 2 times, c 4 times as large as LR\)"):
        measure_folder(*folders[:2], lr=folders[2], names=["psnr"])


def renamed(folder, ending):
    for path in sorted(folder.iterdir()):
        path.rename(folder / f"{path.stem}{ending}.png")


def test_names_that_end_in_the_scale(folders):
    sr, hr, lr = folders
    expected = measure_folder(sr, hr, lr=lr)
    without_hr = measure_folder(sr, lr=lr)
    renamed(lr, "x4")
    assert measure_folder(sr, hr, lr=lr) == expected
    assert measure_folder(sr, lr=lr) == without_hr, "outputs have the names of HR"
    renamed(sr, "_x4")
    assert measure_folder(sr, hr, lr=lr) == expected
    assert measure_folder(sr, hr).values.keys() == expected.values.keys()
    renamed(sr, "_sample0")
    assert measure_folder(sr, hr, lr=lr) == expected


def test_names_that_state_another_scale(folders):
    sr, hr, lr = folders
    renamed(lr, "x2")
    with pytest.raises(SRBenchError, match="lr lacks a, c; hr lacks ax2, cx2; add, rename or remove"):
        measure_folder(sr, hr, lr=lr)


def test_a_folder_with_names_of_two_kinds_is_refused(folders):
    sr, hr, lr = folders
    renamed(lr, "x4")
    write_png(lr / "a.png", read_uint8(lr / "ax4.png"))
    with pytest.raises(SRBenchError, match="lr: a and ax4 both belong to a; move one"):
        measure_folder(sr, hr, lr=lr)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"names": ["lpips"]}, "LPIPS needs HR images; name their folder with --hr"),
        ({"names": ["pique", "lr_psnr"]}, "LR-PSNR needs LR images; name their folder with --lr"),
        ({"names": ["fid"]}, "FID needs HR images; name their folder with --hr"),
        ({"suite": "classic-y"}, "all metrics of classic-y@2 need HR images; name their folder with --hr"),
        ({"suite": "classic-y", "hr": Path("hr")}, "need the scale; give --scale, or LR images with --lr"),
    ],
)
def test_what_is_missing_is_one_line(folders, options, fault):
    with pytest.raises(SRBenchError, match=fault):
        measure_folder(folders[0], **options)


def test_the_scale_stands_for_lr_where_a_border_needs_it(folders):
    with_lr = measure_folder(*folders, suite="classic-y")
    found = measure_folder(*folders[:2], suite="classic-y", scale=4)
    assert found == with_lr
    assert measure_folder(*folders[:2], suite="classic-y", scale=2).values != with_lr.values
    faults = measure_folder(*folders, suite="classic-y", scale=2).failures
    assert "a: the image of 100x96 is not 2 times as large as LR of 25x24" in faults[0]
    faults = measure_folder(*folders[:2], suite="classic-y", scale=8).failures
    assert "a: the image of 100x96 is not 8 times as large as whole pixels of LR" in faults[0]


def test_names_that_files_cannot_tell(folders):
    for name in "xy":
        write_png(Path("samples") / name / "0.png", read_uint8(Path("sr/a.png")))
    with pytest.raises(
        SRBenchError, match="its subfolders may be clips or samples, which the names of HR or LR images tell"
    ):
        measure_folder(Path("samples"))
    write_png(Path("sr/a_sample0.png"), read_uint8(Path("sr/a.png")))
    with pytest.raises(SRBenchError, match=r"a has both a single result, a\.png, and a sample, a_sample0\.png"):
        measure_folder(folders[0])


@pytest.fixture
def seven(tmp_path, draw_image, monkeypatch):
    """Folders good and poor of seven images, near to those in hr and far from them."""
    monkeypatch.chdir(tmp_path)
    for seed in range(7):
        hr = draw_image(seed, 32, 32)
        for folder, level in {"hr": 0, "good": 2, "poor": 20}.items():
            write_png(Path(folder) / f"{seed}.png", (hr.int() + level).clamp(0, 255).to(torch.uint8))
    return "good", "theirs=poor", "--hr", "hr", "--suite", "classic-y", "--scale", "4"


def test_several_folders_are_one_table_with_intervals_and_tests(seven, command):
    found = command("measure", *seven)
    assert found.code == 0, found.err
    assert "Highest PSNR (Y): good at" in found.out
    assert "ahead of theirs" in found.out
    table = list(csv.DictReader(io.StringIO(command("measure", *seven, "--format", "csv").out)))
    means = [
        measure_folder(Path(name), Path("hr"), suite="classic-y", scale=4).mean("psnr") for name in ("good", "poor")
    ]
    assert [line["model"] for line in table] == ["good", "theirs"]
    assert [float(line["psnr"]) for line in table] == pytest.approx(means)
    assert float(table[0]["psnr_low"]) < means[0] < float(table[0]["psnr_high"])
    text = command("measure", *seven, "--format", "md").out
    assert f"**{means[0]:.2f}**" in next(line for line in text.splitlines() if line.startswith("| good "))
    tex = command("measure", *seven, "--format", "tex").out
    assert rf"good & \textbf{{{means[0]:.2f}}}" in tex
    assert r"\caption{7 images compared with hr, protocol classic-y@2: means over images, in bold " in tex
    assert "% Signatures: PSNR|Y|round|unrounded|crop(scale)|v1, SSIM|" in tex
    assert found.out.splitlines()[-1].startswith("Protocol classic-y@2, the tables of EDSR, RCAN and SwinIR: luma ")
    facts = json.loads(command("measure", *seven, "--format", "json").out)
    assert [facts[label]["mean"]["psnr"] for label in ("good", "theirs")] == pytest.approx(means)


def test_latex_prints_the_labels_of_measured_folders_as_given(seven, command):
    tex = command("measure", "esrgan=good", "srflow=poor", *seven[2:], "--format", "tex").out
    assert [line.partition(" &")[0] for line in tex.splitlines() if line.endswith(r" \\")] == [
        "model",
        "esrgan",
        "srflow",
    ]


def test_several_folders_without_references(seven, command):
    found = command("measure", "good", "poor", "--metrics", "pique", "--format", "csv")
    assert [line.split(",")[0] for line in found.out.splitlines()] == ["model", "good", "poor"]
    assert "good and good are both called good; give a label: LABEL=good" in command("measure", "good", "good").err
    assert "missing/lr=1: missing, not a folder" in command("measure", "missing/lr=1").err
    Path("poor/0.png").unlink()
    refused = command("measure", "good", "poor", "--metrics", "pique")
    assert "poor and good have different images, such as 0" in refused.err


@pytest.mark.parametrize(
    ("metric", "device", "workers"), [("lpips", "auto", 1), ("psnr", "auto", 2), ("lpips", "cpu", 2)]
)
def test_a_metric_on_a_gpu_takes_the_processes_that_its_memory_allows(folders, monkeypatch, metric, device, workers):
    chosen = []
    monkeypatch.setattr(measure, "PIXELS", 96 * 100)
    monkeypatch.setattr(measure, "measuring_workers", lambda device, tasks: 1 if device == "cuda" else tasks)
    monkeypatch.setattr(measure, "may_have_gpu", lambda: True)
    monkeypatch.setattr(inference, "choose_device", {"auto": "cuda", "cpu": "cpu"}.get)
    monkeypatch.setattr(measure, "map_items", lambda *_, workers, **__: chosen.append(workers) or iter(()))
    with pytest.raises(KeyError):  # no image was measured
        measure_folder(folders[0], folders[1], names=(metric,), device=device, workers=None)
    assert chosen == [workers]


def test_single_outputs_have_no_deviation(folders):
    sr, hr, _ = folders
    assert "sigma" not in names(measure_folder(sr, hr))
    with pytest.raises(SRBenchError, match="sigma needs two or more samples per image"):
        measure_folder(sr, hr, names=["sigma"])


def test_a_folder_of_single_outputs_and_one_of_samples(seven, command):
    """Sigma has a cell for the samples alone."""
    for seed in range(7):
        for number in 0, 1:
            source = Path(("good", "poor")[number]) / f"{seed}.png"
            write_png(Path("samples") / f"{seed}_sample{number}.png", read_uint8(source))
    Path("mine.toml").write_text('name = "mine"\nversion = 1\nmetrics = ["psnr", "sigma"]\n')
    words = ("measure", "good", "samples", *seven[2:4], "--suite", "mine.toml", "--format")
    found = command(*words, "csv")
    assert found.code == 0, found.err
    good, samples = csv.DictReader(io.StringIO(found.out))
    assert (good["model"], good["sigma"], samples["model"]) == ("good", "", "samples")
    assert float(samples["sigma"]) > 0
    assert command(*words, "md").code == 0


LOADED = """
import sys
from srbench.cli.main import main

try:
    main(sys.argv[1:], prog_name="srbench")
finally:
    print([name for name in ("torch", "pandas") if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("form", ["table", "json"])
def test_with_worker_processes_the_process_of_the_command_loads_no_torch(form):
    words = ["measure", "sr", "--hr", "hr", "--metrics", "psnr", "--workers", "2", "--device", "cpu", "--format", form]
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "[]")
