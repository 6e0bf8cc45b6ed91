"""Images and folders of them that cannot be used, at every command that reads some."""

from __future__ import annotations

import re

import pytest

RUN = "run --models bicubic --scale 4 --metrics psnr --workers 1 --out {here}/run"
UPSCALE = "upscale --models bicubic --scale 4 --out {here}/up"
EDIT = "edit temperature --models srflow --scale 8 --out {here}/edits"
DAMAGED = [
    ("cut", r"b\.png: damaged"),
    ("empty", r"b\.png: not an image"),
    ("promised", r"b\.png: .*(pixels|large)"),
    ("eps", r"b\.png: not an image in PNG, JPEG, WebP, TIFF or BMP format"),
    ("endless", r"b\.jpg: damaged"),
]
"""Folders in which one image is damaged: the other is measured all the same."""
FOLDERS = [
    ("nothing", r"nothing: contains no images"),
    ("absent", r"absent: missing, not a folder of images; check the path"),
    ("raises.py", r"raises\.py(: a file, not a folder| failed: RuntimeError)"),
]
"""Folders that cannot be taken as a set of images."""
EXCHANGED = r"srbench: a: 8x8 is smaller than its LR image of 32x32; exchange the folders of HR and LR images$"


@pytest.mark.parametrize(("folder", "says"), DAMAGED, ids=[name for name, _ in DAMAGED])
def test_a_damaged_image_is_named_and_the_others_are_measured(refused, tmp_path, folder, says):
    refused(f"{RUN} --data {{bad}}/{folder}", says)
    rows = (tmp_path / "run" / "rows.jsonl").read_text().splitlines()
    assert [('"image": "a"' in row, '"error": ""' in row) for row in rows] == [(True, True)]
    refused(f"{UPSCALE} {{bad}}/{folder}", "could not be")
    assert [path.name for path in (tmp_path / "up").iterdir()] == ["a.png"]


@pytest.mark.parametrize(("folder", "says"), FOLDERS, ids=[name for name, _ in FOLDERS])
def test_a_folder_that_is_no_set_of_images(refused, tmp_path, folder, says):
    for command in (
        f"{RUN} --data {{bad}}/FOLDER",
        f"{RUN} --hr {{bad}}/FOLDER --lr {{bad}}/FOLDER",
        "measure {bad}/FOLDER --hr {bad}/FOLDER --metrics psnr",
    ):
        refused(command.replace("FOLDER", folder), says)
        assert not list(tmp_path.glob("run/*")), "nothing is begun"


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize(
    "command",
    [
        f"{RUN} --data {{bad}}/odd",
        f"{RUN} --hr {{bad}}/odd --lr {{bad}}/odd-lr",
        "measure {bad}/odd --hr {bad}/odd --metrics psnr --format csv",
        f"{UPSCALE} {{bad}}/odd",
    ],
    ids=["data", "pairs", "measure", "upscale"],
)
def test_all_unusable_entries_of_a_folder_are_named_at_once_and_the_rest_is_measured(refused, tmp_path, command):
    found = refused(command, "could not be")
    unreadable = {"folder.png": "a folder", "link.png": "a link that leads nowhere", "loop.png": "a link that leads"}
    unreadable |= {"pipe.png": "a pipe", "socket.png": "a pipe, a socket"}
    for name, kind in unreadable.items():
        assert re.search(rf"odd(-lr)?/{name}: .*{kind}", found.stderr), name
    if command.startswith("upscale"):
        names = {path.name for path in (tmp_path / "up").iterdir()}
        assert names == {"a.png", "twice_jpg.png", "twice_png.png"}
        return
    assert "twice.jpg and twice.png share a name, by which images are paired" in found.stderr
    if command.startswith("measure"):
        assert sum(",psnr," in line for line in found.stdout.splitlines()) == 4, "odd names can be measured"
        return
    assert found.stderr.count("the name cannot be a file name") == (1 if "--data" in command else 2)
    for name in ("b" * 240, "line\\nbreak", r"bytes\udcff"):
        assert name in found.stderr
    rows = (tmp_path / "run" / "rows.jsonl").read_text().splitlines()
    assert [('"image": "a"' in row, '"error": ""' in row) for row in rows] == [(True, True)]


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_training_names_what_it_leaves_out(refused):
    found = refused(
        "train rrdb --preset mini-x8 --data {bad}/odd --out {here}/train", r"none of \d images gives patches of 128"
    )
    for name in ("folder", "link", "loop", "pipe", "socket"):
        assert f"odd/{name}.png: " in found.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (f"{RUN} --hr {{bad}}/fine --lr {{bad}}/fine", r"HR of 32x32 is not 4 times LR of 32x32"),
        (f"{RUN} --hr {{bad}}/fine --lr {{bad}}/tiny", r"tiny lacks b"),
        (f"{RUN} --hr {{bad}}/lr --lr {{bad}}/fine", EXCHANGED),
        (f"{RUN.replace('--scale 4 ', '')} --hr {{bad}}/lr --lr {{bad}}/fine", EXCHANGED),
        ("measure {bad}/fine --hr {bad}/lr --lr {bad}/fine", EXCHANGED),
        ("measure {bad}/fine --hr {bad}/lr --lr {bad}/fine --scale 4", EXCHANGED),
        ("measure {bad}/lr --lr {bad}/fine", EXCHANGED),
        (
            "train rrdb --preset mini-x4 --hr {bad}/lr --lr {bad}/fine --out {here}/train",
            EXCHANGED.replace("a:", r"a\.png:"),
        ),
        ("explain 20 --metrics psnr --sr {bad}/fine --hr {bad}/lr --lr {bad}/fine", EXCHANGED),
        (f"{RUN} --hr {{bad}}/fine", r"give data, or hr and lr together"),
        (f"{RUN} --data {{bad}}/tiny", r"a\.png: 2x2 is smaller than the scale 4"),
        (f"{RUN} --data {{bad}}/fine --crop 2", r"a crop of 2 leaves no LR pixel"),
        (f"{RUN} --data {{bad}}/fine --tile 3", r"--tile"),
        (f"{RUN} --data {{bad}}", r"contains no images; .*; \S+/cut contains some: name that folder$"),
        (
            f"{RUN} --scale 100 --data {{bad}}/five",
            r"5 results could not .* others\): (\S+: 32x32 is [^;]*; use[^;]*; ){3}2 more above$",
        ),
        (f"{RUN} --data {{bad}}/fine/a.png", r"a\.png: a file, not a folder"),
        (f"{RUN} --data {{bad}}/fine/absent.png", r"absent\.png: missing, not a folder of images; check the path$"),
        (f"{RUN} --data ./photos", r"\./photos: missing, not a folder of images; check the path$"),
        (f"{RUN} --data phots", r"phots: no folder of that name, and unknown dataset 'phots'; did you mean photos\?"),
    ],
)
def test_run(refused, command, says):
    refused(command, says, 2 if says.startswith(("--", "give")) else 1)
