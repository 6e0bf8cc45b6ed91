"""Images that can no longer be read: the command says so, and what was measured stays in the table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

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
