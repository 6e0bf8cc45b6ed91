"""Pipes, folders and links in place of the files that a run or a training has: none is waited for, none followed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

RUN = "run --models bicubic --scale 4 --metrics psnr --workers 1 --data {bad}/fine --out RUN"
KINDS = {
    "pipe": (os.mkfifo, r"a pipe, a socket or a device, not a file of"),
    "folder": (Path.mkdir, r"a folder, not a file of"),
    "link": (lambda path: path.symlink_to("nowhere"), r"a link, not a file of"),
}
COMMANDS = [
    "verify RUN",
    RUN,
    "report RUN",
    "score RUN --metrics ssim --workers 1",
    "compare bicubic bicubic --run RUN",
    "merge RUN --out {here}/merged",
]
OWN = ["manifest.json", "pairs.jsonl", "samples.jsonl", "rows.jsonl", ".lock", ".report.lock"]


def in_place_of(path, kind):
    path.unlink(missing_ok=True)
    KINDS[kind][0](path)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        *((file, "pipe") for file in OWN),
        ("rows.jsonl", "folder"),
        ("rows.jsonl", "link"),
        (".lock", "link"),
        ("votes.jsonl", "link"),
        ("other", "pipe"),
    ],
)
def test_in_a_run(refused, finished, tmp_path, file, kind):
    run = shutil.copytree(finished, tmp_path / "run")
    in_place_of(run / file, kind)
    for command in COMMANDS if (file, kind) == ("rows.jsonl", "pipe") else COMMANDS[:2]:
        says = rf"run/{file}: {KINDS[kind][1]}" + ("|no run in it|not a run folder" if file == "manifest.json" else "")
        refused(command.replace("RUN", "{here}/run"), says, kept=["run"])
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "nothing was written where the link leads"


@pytest.mark.parametrize("folder", ["images", "images/bicubic"])
def test_a_folder_of_images_that_is_a_link(refused, finished, tmp_path, folder):
    """What lies where it leads is not overwritten."""
    run = shutil.copytree(finished, tmp_path / "run")
    shutil.move(run / folder, tmp_path / "outside")
    (run / folder).symlink_to(tmp_path / "outside")
    (run / "samples.jsonl").write_bytes(b"")
    for file in (tmp_path / "outside").rglob("*.png"):
        file.write_bytes(b"mine")
    refused(RUN.replace("RUN", "{here}/run"), rf"run/{folder}: a link, and runs are only", kept=["outside"])


@pytest.mark.parametrize("file", ["images/hr/a.png", "images/bicubic/b.png"])
def test_an_image_that_is_a_pipe(srbench, in_time, finished, tmp_path, file):
    """It is missed, and not waited for."""
    run = shutil.copytree(finished, tmp_path / "run")
    in_place_of(run / file, "pipe")
    with in_time("verify"):
        assert srbench("verify", run).exit_code == 1
        assert srbench("score", run, "--metrics", "ssim", "--workers", 1).exit_code == (1 if "hr" in file else 0)
