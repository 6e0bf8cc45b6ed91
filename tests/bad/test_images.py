"""Images and folders of them that cannot be used, at every command that reads some."""

from __future__ import annotations

import pytest

RUN = "run --models bicubic --scale 4 --metrics psnr --workers 1 --out {here}/run"
UPSCALE = "upscale --models bicubic --scale 4 --out {here}/up"
EDIT = "edit temperature --models srflow --scale 8 --out {here}/edits"
DAMAGED = [
    ("cut", r"b\.png: damaged"),
    ("text", r"b\.png: not an image"),
    ("empty", r"b\.png: not an image"),
    ("promised", r"b\.png: .*(pixels|large)"),
    ("none", r"b\.png: "),
    ("eps", r"b\.png: not an image in PNG, JPEG, WebP, TIFF or BMP format"),
    ("endless", r"b\.jpg: damaged"),
]
"""Folders in which one image is damaged: the other is measured all the same."""
FOLDERS = [
    ("nothing", r"nothing: contains no images"),
    ("absent", r"absent"),
    ("raises.py", r"raises\.py: (a file, not a folder|has no class or function that could be one of datasets)"),
    ("twice", r"a\.jpg and a\.png share a name"),
    ("long", r"b{240}.* rename"),
    ("bytes", r"b.{1,12}png.* rename|rename"),
    ("lines", r"rename"),
    ("linked", r"b\.png.* link"),
    ("looped", r"b\.png.* link"),
    ("pipe", r"b\.png.* (no file|pipe|regular)"),
    ("folder", r"b\.png.* folder"),
    ("socket", r"b\.png.* (no file|socket|regular)"),
]
"""Folders that cannot be taken as a set of images."""


@pytest.mark.parametrize(("folder", "says"), DAMAGED, ids=[name for name, _ in DAMAGED])
def test_a_damaged_image_is_named_and_the_others_are_measured(refused, tmp_path, folder, says):
    refused(f"{RUN} --data {{bad}}/{folder}", says)
    rows = (tmp_path / "run" / "rows.jsonl").read_text().splitlines()
    assert [('"image": "a"' in row, '"error": ""' in row) for row in rows] == [(True, True)]
    refused(f"{UPSCALE} {{bad}}/{folder}", "could not be")
    assert [path.name for path in (tmp_path / "up").iterdir()] == ["a.png"]


NO_NAMES = ("long", "bytes", "lines")
"""What cannot be the name of an output. To be measured or trained on, a file may be called so."""


@pytest.mark.parametrize(("folder", "says"), FOLDERS, ids=[name for name, _ in FOLDERS])
@pytest.mark.parametrize(
    "command",
    [
        f"{RUN} --data {{bad}}/FOLDER",
        f"{RUN} --hr {{bad}}/FOLDER --lr {{bad}}/FOLDER",
        "measure {bad}/FOLDER --hr {bad}/FOLDER --metrics psnr",
    ],
    ids=["data", "pairs", "measure"],
)
def test_a_folder_that_is_no_set_of_images(refused, srbench, bad, tmp_path, command, folder, says):
    if command.startswith("measure") and folder in NO_NAMES:
        found = srbench(*command.replace("FOLDER", folder).format(bad=bad).split())
        assert (found.exit_code, found.stdout.count("inf")) == (0, 3)
        return
    refused(command.replace("FOLDER", folder), says)
    assert not list(tmp_path.glob("run/*")), "nothing is begun"


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize("folder", ["linked", "looped", "pipe", "folder", "socket", "cut", "empty"])
def test_a_training_names_what_it_leaves_out(refused, folder):
    found = refused(
        f"train rrdb --preset mini-x8 --data {{bad}}/{folder} --out {{here}}/train",
        r"none of 1 images gives patches of 128: a\.png: 32x32 is smaller",
    )
    assert f"{folder}/b.png: " in found.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (f"{RUN} --hr {{bad}}/fine --lr {{bad}}/fine", r"HR of 32x32 is not 4 times LR of 32x32"),
        (f"{RUN} --hr {{bad}}/fine --lr {{bad}}/tiny", r"tiny lacks b"),
        (f"{RUN} --hr {{bad}}/fine", r"give data, or hr and lr together"),
        (f"{RUN} --data {{bad}}/tiny", r"a\.png: 2x2 is smaller than the scale 4"),
        (f"{RUN} --data {{bad}}/fine --crop 2", r"a crop of 2 leaves no LR pixel"),
        (f"{RUN} --data {{bad}}/fine --tile 3", r"--tile"),
        (f"{RUN} --data {{bad}}/fine/a.png", r"a\.png: a file, not a folder"),
    ],
)
def test_run(refused, command, says):
    refused(command, says, 2 if says.startswith(("--", "give")) else 1)
