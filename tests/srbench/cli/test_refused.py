"""Every command given what it cannot use: one line that says why, an exit code, and nothing of the user's changed.

What each module refuses is tested beside it; this is one case for each way in which a command meets bad input.
"""

from __future__ import annotations

import os
import re

import pytest
import torch
from builders import PACKAGED

from srflow.model import SRFlow

RUN = "run --models bicubic --scale 4 --metrics psnr --data {bad}/fine --out {here}/run"
PAIRS = "run --models bicubic --scale 4 --metrics psnr --out {here}/run"
UPSCALE = "upscale --models bicubic --scale 4 --out {here}/up"
EDIT = "--models srflow --scale 8 --out {here}/edits"
STYLE = f"edit style-transfer {EDIT}"
CONTENT = f"edit content-transfer {EDIT} {{bad}}/fine/a.png"
TEMPERATURE = f"edit temperature {EDIT}"
TRAIN = "train srflow --preset mini-x8 --data {bad}/fine --out {here}/train"
CONVERT = "--preset df2k-x4 --out {here}/out.safetensors"
EXCHANGED = r"a(\.png)?: 8x8 is smaller than its LR image of 32x32; exchange the folders of HR and LR images$"
FILES = [
    ("run {bad}/no.toml", r"no\.toml: not TOML"),
    ("run {bad}/bytes.toml", r"bytes\.toml: not TOML"),
    ("run {bad}/deep.toml", r"deep\.toml: not TOML"),
    ("run {bad}/absent.toml", r"absent\.toml: missing, not a TOML file; check the path"),
    ("run {bad}", r"bad\d*: a folder, not a TOML file; to measure its images, write --data \S+bad\d*$"),
    ("run {bad}/pipe.toml", r"pipe\.toml: a pipe"),
    ("run {bad}/nul.toml", r"nul\.toml: contains a NUL"),
    ("run {bad}/key.toml", r"unknown key 'modles'; did you mean models"),
    ("run {bad}/type.toml", r"type\.toml: .*scale"),
    ("run {bad}/scale.toml", r"scale is 1e\+22|scale is 10{22}"),
    ("run {bad}/seed.toml", r"seed is -1"),
    ("run {bad}/temperature.toml", r"nan is not a temperature"),
    ("run {bad}/models.toml", r"models is empty"),
    ("run {bad}/samples.toml", r"samples\.toml: samples is 0; it has to be 1 or more"),
    ("run {bad}/metrics.toml", r"metrics\.toml: metrics is empty"),
    ("run {bad}/both.toml", r"give data, or hr and lr together"),
    ("run {bad}/device.toml", r"device is 'tpu'"),
    (f"{RUN} --suite {{bad}}/pipe.toml", r"pipe\.toml: a pipe"),
    (f"{TRAIN} --preset {{bad}}/pipe.toml", r"pipe\.toml: a pipe"),
    (f"{TRAIN} --set training.patch=32 --start {{bad}}/pipe.safetensors", r"pipe\.safetensors: a pipe"),
    ("train --resume {bad}/fine", r"fine: not a training folder"),
    ("run --write-template {bad}/key.toml", r"key\.toml: already exists"),
    (f"convert {{bad}}/pipe.pth {CONVERT}", r"pipe\.pth: "),
    (f"convert {{bad}} {CONVERT}", r"a folder, not a weights file; name the file"),
    (f"convert {{bad}}/evil.pth {CONVERT}", r"evil\.pth: .*would run code"),
    (f"{RUN} --models srflow:{{bad}}/evil.pth", r"evil\.pth: .*would run code"),
    (f"{RUN} --models {{bad}}/evil.pth", r"evil\.pth: (contains |needs spandrel)"),
    (f"{RUN} --models srflow:{{bad}}/pipe.safetensors", r"pipe\.safetensors: no such weights file"),
    (f"{RUN} --models {{bad}}/pipe.pth", r"pipe\.pth: "),
    ("weights add srflow-df2k-x4 {bad}/evil.pth", r"evil\.pth could not be converted: .*would run code"),
    ("weights add srflow-df2k-x4 {bad}/pipe.pth", r"is not a file; check the path"),
    ("weights add nothing {bad}/absent.pth", r"unknown weights 'nothing'"),
    ("weights add srflow-df2k-x4 http://[::1", r"http://\[::1 "),
    ("weights add srflow-df2k-x4 http://127.0.0.1:port/file", r"failed"),
    ("weights add srflow-df2k-x4 'http://127.0.0.1:1/a b'", r"failed"),
    ("weights add srflow-df2k-x4 http://\u2603..example/a", r"failed"),
    ("weights add srflow-df2k-x4 file:///etc/passwd", r"is not a URL"),
]
"""Files of settings and weights, and addresses."""
NAMES = [
    (
        "run --models bicubic rrdb --scale 4",
        r"rrdb is no BENCH\.TOML; to measure models, write --models bicubic,rrdb\.",
        2,
    ),
    ("run bicubic,esrgan@0.5 mine=net.py:Net", r"write --models bicubic,esrgan@0\.5,mine=net\.py:Net\.", 2),
    ("run --metrics psnr ssim", r"ssim: missing, not a TOML file; .*, and separate several names by commas"),
    ("run a.toml b.toml", r"a\.toml and b\.toml: give one BENCH\.TOML, and separate several names by commas\.", 2),
    (f"{RUN} --suite nothing", r"unknown suite 'nothing'"),
    (f"{RUN} --metrics psnr,dists", r"unknown metric 'dists'; pyiqa has it: write pyiqa:dists$"),
    (f"{RUN} --metrics MY_PSNR", r"unknown metric 'MY_PSNR'"),
    (f"{RUN} --metrics psnr+channels=Z", r"channels"),
    (f"{RUN} --models SRFlow", r"unknown model 'SRFlow'; did you mean srflow\?"),
    (f"{RUN} --models mine=absent", r"absent: no folder of that name, and unknown model 'absent'; available: bicubic"),
    (
        f"{RUN} --models bicubic+consistant",
        r"no option \+consistant; at the end of a name, write one or more of \+8steps, \+bf16 and \+consistent",
    ),
    (f"{RUN} --models rrdb+consistent+bf16", r"no option \+consistent; .* \+bf16 and \+consistent, in this order$"),
    (f"{RUN} --models esrgan-x4", r"esrgan-x4: released weights; name them after a model: esrgan:esrgan-x4$"),
    (
        "run --models rrdb --scale 3 --out {here}/run",
        r"no rrdb weights are packaged for scale 3; use --scale 4 or 8, or name weights of that scale: rrdb:FILE$",
    ),
    (f"{RUN} --models a/b=bicubic", r"a/b=bicubic: no such folder .*; a label has letters, digits and \. _ \+ - only"),
    (
        f"{RUN} --scale 8 --models rrdb,rrdb:{PACKAGED['rrdb']},rrdb-mini-x8=bicubic",
        r"the label rrdb-mini-x8 is taken by rrdb:",
    ),
    (f"{RUN} --models {'a' * 300}=bicubic", r"label"),
    (f"{RUN} --models {'a' * 5000}.pth", r"a{100}"),
    (f"{RUN} --models ','", r"--models.*a name is empty", 2),
    (f"{RUN} --data ''", r"--data.*a name is empty", 2),
    (f"{RUN} --data phots", r"phots: no folder of that name, and unknown dataset 'phots'; did you mean photos\?"),
    (f"{RUN} --engine ray", r"--engine.*'ray' is not dask or dask:ADDRESS", 2),
    (f"{RUN} --seed {10**23}", r"--seed", 2),
    (
        f"{TRAIN} --set training.patch=32 --set training.batch={10**12}",
        r"out of memory on the CPU: [\d.]+ TiB were wanted; ",
    ),
    (f"{TRAIN} --preset nothing", r"unknown preset 'nothing'"),
    ("train nothing --preset mini-x8 --data {bad}/fine", r"unknown trainer 'nothing'"),
    ("upscale {bad}/fine/a.png --models nothing --scale 8 --out {here}/up", r"unknown model"),
    (f"{UPSCALE} {{bad}}/fine/a.png --models srflow --temperature 1e400", r"temperature", 2),
    (f"{UPSCALE} {{bad}}/fine/a.png --models results={{bad}}/fine", r"cannot upscale"),
    ("edit restore {bad}/fine/a.png --models bicubic --scale 8 --out {here}/edits", r"has no latents"),
    (f"{TEMPERATURE} {{bad}}/fine/a.png --temperature 0,,1", r"is not a temperature", 2),
    ("show nothing", r"unknown name 'nothing'"),
]
"""Names of models, metrics, data and presets, and values of options."""
CODE = [
    (f"{RUN} --metrics {{bad}}/raises.py:Metric", r"raises\.py failed: RuntimeError: at once and twice"),
    (f"{RUN} --metrics {{bad}}/ends.py:Metric", r"ends\.py"),
    (f"{RUN} --metrics {{bad}}/models.py:Ending", r"SystemExit"),
    (f"{RUN} --models {{bad}}/raises.py:M", r"raises\.py failed"),
    (f"{RUN} --models {{bad}}/syntax.py:M", r"syntax\.py failed: SyntaxError: [^<]*\(syntax\.py, line 1\)$"),
    (f"{RUN} --models {{bad}}/ends.py:M", r"ends\.py"),
    (f"{RUN} --models {{bad}}/models.py:Ends", r"SystemExit"),
    (f"{RUN} --models {{bad}}/models.py:Half", r"has shape"),
    (f"{RUN} --models {{bad}}/models.py:Recursive", r"RecursionError"),
    (f"{RUN} --models {{bad}}/models.py:Absent", r"unknown class"),
    (
        f"{RUN} --models {{bad}}/models.py:Empty",
        r"not finite; check the model or, if it samples, lower the temperature$",
    ),
    (
        f"{RUN} --models {{bad}}/fine/a.png",
        r"a\.png: not a model; a file of a network ends in \.pth, .*\.param, and code",
    ),
    (f"{RUN} --models results={{bad}}/lr", r"has shape"),
    (f"{RUN} --models results={{bad}}/cut", r"b\.png: damaged"),
]
"""Code and results of other people."""
IMAGES = [
    *(
        (command, EXCHANGED)
        for command in (
            f"{PAIRS} --hr {{bad}}/lr --lr {{bad}}/fine",
            f"{PAIRS.replace('--scale 4 ', '')} --hr {{bad}}/lr --lr {{bad}}/fine",
            "measure {bad}/fine --hr {bad}/lr --lr {bad}/fine",
            "measure {bad}/fine --hr {bad}/lr --lr {bad}/fine --scale 4",
            "measure {bad}/lr --lr {bad}/fine",
            "train rrdb --preset mini-x4 --hr {bad}/lr --lr {bad}/fine --out {here}/train",
            "explain 20 --metrics psnr --sr {bad}/fine --hr {bad}/lr --lr {bad}/fine",
        )
    ),
    (f"{PAIRS} --hr {{bad}}/fine --lr {{bad}}/fine", r"HR of 32x32 is not 4 times LR of 32x32"),
    (f"{PAIRS} --hr {{bad}}/fine --lr {{bad}}/tiny", r"tiny lacks b"),
    (f"{RUN} --data {{bad}}/tiny", r"a\.png: 2x2 is smaller than the scale 4"),
    (f"{RUN} --metrics psnr+border=999999999999", r"border"),
    (f"{RUN} --crop 2", r"a crop of 2 leaves no LR pixel"),
    (f"{RUN} --crop 10000", r"^failed: \S+/a\.png: 32x32 is smaller than the crop of 10000; choose a smaller --crop$"),
    (f"{RUN} --tile 3", r"--tile", 2),
    (f"{RUN} --data {{bad}}", r"contains no images; .*; \S+/lr contains some: name that folder$"),
    (f"{RUN} --scale 100 --data {{bad}}/five", r"^(failed: \S+: 32x32 is .*\n)*srbench: 5 .* others\), see above$"),
    ("upscale {bad}/absent.png --models bicubic --scale 8 --out {here}/up", r"could not be"),
    (f"{UPSCALE} {{bad}}/long", r"could not be"),
    (f"{UPSCALE} {{bad}}/fine --models srflow --scale 8 --samples 1000000000", r"2 images could not be"),
    (f"{RUN} --models srflow --scale 8 --samples 1000000000", r"1000000000 samples of 32x32 need .* draw fewer"),
    (f"{STYLE} {{bad}}/cut/b.png --from 0,0,8,8 --to 8,8,8,8", r"b\.png: damaged"),
    (f"{STYLE} {{bad}}/fine/a.png --from 0,0,8 --to 8,8,8,8", r"is not a box", 2),
    (f"{STYLE} {{bad}}/fine/a.png --from 0,0,99,8 --to 8,8,8,8", r"leaves the image"),
    (f"{STYLE} {{bad}}/fine/a.png --from 0,0,0,8 --to 8,8,8,8", r"is empty"),
    (f"{STYLE} {{bad}}/fine/a.png --from 0,0,8,8 --to {10**20},8,8,8", r"leaves the image"),
    (f"{CONTENT} {{bad}}/lr/a.png --box 0,0,16,16", r"its size 8x8 is neither"),
    (f"{CONTENT} {{bad}}/fine/b.png --mask {{bad}}/lr/a.png", r"the mask has to be as large"),
    (f"{TEMPERATURE} '{{bad}}/long/*.png'", r"no such file"),
    ("explore {bad}/cut/b.png --no-browser", r"b\.png: damaged"),
    ("explore {bad}/absent.png --no-browser", r"absent\.png: cannot be read"),
]
"""Images and folders of them."""
FOLDERS = [
    *(
        (command.replace("FOLDER", folder), says)
        for folder, says in {
            "nothing": r"nothing: contains no images",
            "absent": r"absent: missing, not a folder of images; check the path",
            "key.toml": r"key\.toml: a file, not a folder",
        }.items()
        for command in (
            f"{RUN} --data {{bad}}/FOLDER",
            f"{PAIRS} --hr {{bad}}/FOLDER --lr {{bad}}/FOLDER",
            "measure {bad}/FOLDER --hr {bad}/FOLDER --metrics psnr",
            f"{TRAIN} --data {{bad}}/FOLDER",
        )
    ),
    (f"{RUN} --out {{bad}}/fine", r"fine: not empty, and not a run folder"),
    (f"{RUN} --out {{bad}}/key.toml", r"key\.toml: a file, not a folder; choose another --out"),
    (f"{RUN} --out {{bad}}/key.toml/run", r"key\.toml.*: cannot be written \(Not a directory\); choose another --out"),
    (f"{RUN} --out /proc/run", r"/proc/run"),
    (f"{UPSCALE} {{bad}}/fine/a.png --out {{bad}}/key.toml", r"key\.toml"),
    ("report {here}/absent", r"absent: missing, not a run folder; name the folder"),
    ("report {bad}/key.toml", r"key\.toml: a file, not a run folder; name the folder"),
    ("verify {bad}/fine", r"fine: no run in it"),
    ("report RUN --format pdf", r"pdf"),
    ("report RUN --baseline nothing", r"nothing"),
    ("report RUN --out {bad}/fine", r"fine: not made by srbench"),
    ("compare RUN/.. RUN", r"not a run, but a folder of runs; name one of them, such as \S+/run$"),
    ("compare near nothing --run RUN", r"nothing"),
    ("score RUN --metrics nothing", r"unknown metric 'nothing'; .*pyiqa:NAME"),
    ("merge RUN {bad}/fine --out {here}/merged", r"fine: no run in it"),
    ("merge RUN RUN --out {bad}/fine", r"fine: already exists"),
]
"""Folders without images or without a run, and folders of somebody else to write into. RUN is a finished run."""
CASES = [*FILES, *NAMES, *CODE, *IMAGES, *FOLDERS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].replace("{bad}/", "").replace("{here}/", "")[-90:])
def test_refused(refused, finished_once, tmp_path, case):
    command, *rest = case
    refused(command.replace("RUN", str(finished_once)), *rest)
    assert case in IMAGES or case in CODE or not list(tmp_path.iterdir()), "nothing is begun, and no code has run"


DAMAGED = {
    "cut": r"b\.png: damaged",
    "empty": r"b\.png: not an image",
    "promised": r"b\.png: .*(pixels|large)",
    "eps": r"b\.png: not an image in PNG, JPEG, WebP, TIFF or BMP format",
    "endless": r"b\.jpg: damaged",
}
"""Folders in which one image is damaged."""


@pytest.mark.parametrize("folder", DAMAGED)
def test_a_damaged_image_is_named_and_the_others_are_measured(refused, tmp_path, folder):
    refused(f"{RUN} --data {{bad}}/{folder}", DAMAGED[folder])
    rows = (tmp_path / "run" / "rows.jsonl").read_text().splitlines()
    assert [('"subject": "a"' in row, '"error": ""' in row) for row in rows] == [(True, True)]
    refused(f"{UPSCALE} {{bad}}/{folder}", "could not be")
    assert [path.name for path in (tmp_path / "up").iterdir()] == ["a.png"]


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize(
    "command",
    [
        f"{RUN} --data {{bad}}/odd",
        f"{PAIRS} --hr {{bad}}/odd --lr {{bad}}/odd-lr",
        "measure {bad}/odd --hr {bad}/odd --metrics psnr --format csv",
        f"{UPSCALE} {{bad}}/odd",
        f"{TRAIN} --data {{bad}}/odd",
    ],
    ids=["data", "pairs", "measure", "upscale", "train"],
)
def test_all_unusable_entries_of_a_folder_are_named_at_once_and_the_rest_is_used(refused, tmp_path, command):
    found = refused(command, r"could not be|none of \d images gives patches of 128")
    unreadable = {"folder.png": "a folder", "link.png": "a link that leads nowhere", "loop.png": "a link that leads"}
    unreadable |= {"pipe.png": "a pipe", "socket.png": "a pipe, a socket"}
    for name, kind in unreadable.items():
        assert re.search(rf"odd(-lr)?/{name}: .*{kind}", found.stderr), name
    if command.startswith("train"):
        return
    if command.startswith("upscale"):
        names = {path.name for path in (tmp_path / "up").iterdir()}
        assert names == {"a.png", "twice_jpg.png", "twice_png.png"}
        return
    assert "twice.jpg and twice.png share a name, by which images are paired" in found.stderr
    if command.startswith("measure"):
        assert sum(",psnr," in line for line in found.stdout.splitlines()) == 4, "odd names can be measured"
        return
    assert found.stderr.count("the name cannot be a file name") == (1 if "--data {bad}/odd" in command else 2)
    for name in ("b" * 240, "line\\nbreak", r"bytes\udcff"):
        assert name in found.stderr
    rows = (tmp_path / "run" / "rows.jsonl").read_text().splitlines()
    assert [('"subject": "a"' in row, '"error": ""' in row) for row in rows] == [(True, True)]


@pytest.mark.parametrize(
    "command",
    [
        f"{RUN} --out ODD",
        f"{RUN} --data ODD",
        f"{RUN} --models ODD.py:Model",
        "score ODD --metrics ssim",
        "report ODD",
    ],
)
def test_a_path_that_is_not_utf_8(refused, tmp_path, command):
    """Manifests hold the command, and are UTF-8."""
    odd = os.fsdecode(b"b\xffd")
    refused(command.replace("ODD", odd), r"b\\udcffd.* is not UTF-8, .* rename")
    assert not list(tmp_path.iterdir()), "nothing is begun"


def test_a_machine_without_memory(refused, monkeypatch):
    """Torch's own words are: [enforce fail at alloc_cpu.cpp:127] err == 0."""

    def short(*arguments, **named):
        return torch.zeros(10**14, device="cpu")

    monkeypatch.setattr(SRFlow, "restore", short)
    restore = f"edit restore {{bad}}/fine/a.png {EDIT}"
    refused(restore, r"^srbench: out of memory on the CPU: 400 TB were wanted; ask for fewer or smaller images")
    monkeypatch.setattr(torch.nn.Module, "to", short)
    refused(restore, r"srflow failed: out of memory on the CPU: 400 TB were wanted; use a machine with more memory$")


def test_a_gpu_without_memory(refused, monkeypatch):
    def short(*arguments, **named):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 8 GiB in all.")

    monkeypatch.setattr(SRFlow, "restore", short)
    restore = f"edit restore {{bad}}/fine/a.png {EDIT}"
    refused(
        restore,
        "out of memory on the GPU: 2.00 GiB were wanted; ask for fewer or smaller images or, where there are, smaller "
        r"tiles \(--tile\), or use another --device$",
    )
    monkeypatch.setattr(torch.nn.Module, "to", short)
    refused(restore, r"srflow failed: out of memory on the GPU: 2\.00 GiB were wanted; use --device cpu$")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (
            f"{UPSCALE} {{bad}}/fine/a.png --out {{bad}}/key.toml",
            r"key\.toml: a file, not a folder; choose another --out",
        ),
        (f"{UPSCALE} {{bad}}/absent.png", r"^failed: \S+absent\.png: no such file; check the path$"),
        (f"edit restore {EDIT} {{bad}}/absent.png", r"absent\.png: no such file; check the path"),
        (f"edit restore {EDIT} {{bad}}/fine/a.png --out {{bad}}/key.toml", r"key\.toml: a file, not a folder"),
        (f"{STYLE} {{bad}}/fine/a.png --from 0,0,99,8 --to 8,8,8,8", r"leaves the image"),
        ("explore {bad}/absent.png --no-browser", r"absent\.png: cannot be read"),
        (f"{RUN} --models srflow --data {{bad}}/absent", r"absent: missing, not a folder"),
        (f"{RUN} --models srflow --metrics psnrr", r"unknown metric 'psnrr'"),
        (f"{RUN} --models srflow --out {{bad}}/fine", r"fine: not empty, and not a run folder"),
        (f"{RUN} --models srflow --crop 2", r"a crop of 2 leaves no LR pixel"),
    ],
)
def test_a_mistake_that_needs_no_model_is_found_before_a_model_is_loaded(refused, monkeypatch, command, says):
    def load_model(text, *given, **named):
        raise AssertionError(f"{text} is loaded")

    for module in ("srbench.models.loading", "srbench.editing.edit", "srbench.upscaling"):
        monkeypatch.setattr(f"{module}.load_model", load_model)
    refused(command, says)
