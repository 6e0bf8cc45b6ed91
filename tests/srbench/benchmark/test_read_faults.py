"""Images that can no longer be read: the command says so, and what was measured stays in the table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders import drawn

from srbench.images.io import read_uint8, write_png
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of

STORED = """
from pathlib import Path

from srbench.data.datasets import Folder


class Stored:
    name = "stored"

    def __init__(self, scale):
        self.scale = scale

    def __len__(self):
        return 4

    def __iter__(self):
        return iter("abcd")

    def read(self, name):
        return Folder(Path("photos"), self.scale).read(name)

    def digest(self, name):
        return Folder(Path("photos"), self.scale).digest(name)
"""
"""A dataset that always has the same names, over the folder ``photos``."""


def truncated(photos):
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:200])


def all_empty(photos):
    for path in photos.iterdir():
        path.write_bytes(b"")


def gone(photos):
    shutil.rmtree(photos)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("damage", "data", "fault"),
    [
        (truncated, "./photos", "b.png: damaged image"),
        (all_empty, "./photos", "d.png: not an image"),
        (gone, "./photos", "photos"),
        (truncated, "stored.py:Stored", "b.png: damaged image"),
        (gone, "stored.py:Stored", "photos"),
    ],
)
def test_rows_of_a_finished_run_stay(command, photos, damage, data, fault, workers):
    Path("stored.py").write_text(STORED)

    def ask(*options):
        words = ("--models", "bicubic", "--scale", 4, "--data", data, "--metrics", "psnr", "--out", "run")
        return command("run", *words, "--workers", workers, *options)

    assert ask().code == 0
    before = {row.image: row.values for row in measurements_of(RunFolder.read(Path("run")))}
    table = Path("run/report/table.csv").read_text()
    assert len(before) == 4
    damage(photos)
    for options in ((), (), ("--again", "bicubic")):
        again = ask(*options)
        assert again.code == 1
        assert fault in again.err
        assert {row.image: row.values for row in measurements_of(RunFolder.read(Path("run")))} == before
        assert Path("run/report/table.csv").read_text() == table


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("changed", [True, False])
def test_a_lost_image_outside_the_request_is_read_again_only_if_it_is_the_same(command, photos, changed, workers):
    def ask(*options):
        words = ("--models", "bicubic", "--scale", 4, "--data", photos, "--workers", workers, "--out", "run")
        return command("run", *words, *options)

    assert ask("--metrics", "psnr").code == 0
    run, lost = RunFolder.read(Path("run")), Path("run/images/hr/c.png")
    before = {row.image: row.values["psnr"] for row in measurements_of(run)}
    if changed:
        write_png(photos / "c.png", drawn(5, *read_uint8(photos / "c.png").shape[1:]))
    lost.unlink()
    part = ask("--metrics", "psnr,ssim", "--limit", 1)
    after = RunFolder.read(Path("run"))
    assert after.of("c").pair == run.of("c").pair or not changed
    assert lost.exists() is not changed
    failed = {score.subject for scores in after.scores.values() for score in scores.values() if score.failed}
    assert failed == (set("c") if changed else set())
    rows = {row.image: row.values for row in measurements_of(after)}
    assert {image: values["psnr"] for image, values in rows.items()} == before
    verified = command("verify", "run")
    assert part.code == changed
    if changed:
        assert "and has changed in the data; repeat the command without --limit" in part.err
        assert verified.code == 3, verified.out
        assert ask("--metrics", "psnr,ssim").code == 0
        assert command("verify", "run").code == 0
    else:
        assert verified.code == 0
