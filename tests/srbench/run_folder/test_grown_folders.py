"""A folder of images that grows between two commands: every row stays that was asked for and is still true."""

from __future__ import annotations

from pathlib import Path

import pytest

from srbench.benchmark.run import run
from srbench.benchmark.verify import verify
from srbench.images.io import write_png
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.results import rows_of


@pytest.fixture
def grow(photos, draw_image):
    """Add images whose names come first."""

    def call():
        for seed, name in enumerate(("0", "1"), 20):
            write_png(photos / f"{name}.png", draw_image(seed, 32, 32))

    return call


@pytest.fixture
def near(changed, models):
    return lambda label, **values: changed(models=(f"{label}={models}:Nearest",), metrics=("psnr",), **values)


def rows(folder):
    found = {}
    for row in rows_of(RunFolder.read(folder)):
        found.setdefault(row.setting.model, []).append(row.image)
    return found


def contradicted(folder):
    found = verify(folder).facts()
    return found["contradicted"]


def test_rows_of_a_model_that_was_not_run_again(near, grow):
    folder = run(near("a", limit=None)).folder
    grow()
    run(near("b", limit=None))
    assert rows(folder) == {"a": ["a", "b", "c", "d"], "b": ["0", "1", "a", "b", "c", "d"]}
    assert not contradicted(folder)
    assert run(near("a", limit=None)).sampled == 2, "its four others are still valid"


def test_a_limit_and_new_names_that_come_first(near, grow):
    folder = run(near("a", limit=2)).folder
    grow()
    run(near("b", limit=2))
    assert rows(folder) == {"a": ["a", "b"], "b": ["0", "1"]}
    assert run(near("a", limit=2)).sampled == 2
    assert rows(folder) == {"a": ["0", "1", "a", "b"], "b": ["0", "1"]}
    assert read_manifest(folder).scope == ("0", "1", "a", "b")
    assert not contradicted(folder)


def test_an_image_that_has_changed_leaves_the_rows_of_others(near, photos, draw_image):
    folder = run(near("a", limit=None)).folder
    write_png(Path(photos) / "c.png", draw_image(30, 40, 32))
    run(near("b", limit=None))
    assert rows(folder) == {"a": ["a", "b", "d"], "b": ["a", "b", "c", "d"]}
    assert not contradicted(folder)
