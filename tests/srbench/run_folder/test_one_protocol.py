"""A folder holds one protocol; more of the same is added, another is refused in one line that names the difference.

Of images that are added or replaced, every row stays that was asked for and is still true.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from builders import OWN_LR

from srbench.benchmark.run import run
from srbench.images.io import read_uint8, write_png
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.measurements import measurements_of
from srbench.verification.verify import verify


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_another_protocol_is_refused(finished, changed):
    before = contents(finished)
    for change, difference in (
        ({"seed": 1}, "holds results of seed 0, not of seed 1"),
        ({"scale": 2, "models": ("bicubic",)}, "scale 4, not of scale 2"),
        ({"crop": 16}, "crop None, not of crop 16"),
        ({"samples": 3}, "samples 2, not of samples 3"),
        ({"tile": 16, "models": ("bicubic",)}, "tile None, not of tile 16"),
        ({"data": "photos"}, "holds results of other images"),
    ):
        with pytest.raises(RunFolderError, match=difference) as refusal:
            run(changed(**change))
        assert "choose another --out" in str(refusal.value)
        assert "\n" not in str(refusal.value)
        assert contents(finished) == before


def test_a_replaced_image(finished, spec, photos, draw_image):
    """Rows, HR and LR are those of the new image; what was not sampled again of it is left out."""
    new = draw_image(77, 32, 32)
    write_png(photos / "a.png", new)
    outcome = run(spec)
    assert outcome.sampled == 3
    assert (read_uint8(finished / "images" / "hr" / "a.png") == new).all()
    assert verify(finished, resample=9).holds


def test_temperatures_that_look_alike_are_told_apart(changed, models, tmp_path):
    folder = run(changed(models=(f"noisy={models}:Noisy",), temperature=(0.8, 0.8000001), limit=1)).folder
    names = {path.name for path in (folder / "images").iterdir()}
    assert names == {"hr", "lr", "noisy-t0.8", "noisy-t0.8000001"}
    assert verify(folder, resample=2).holds


@pytest.mark.parametrize("label", ["noisy-t0.8", "NOISY-t0.8"])
def test_a_label_that_would_share_a_folder(changed, models, label):
    with pytest.raises(RunFolderError, match=r"would put images of .* and .* into one folder"):
        run(changed(models=(f"noisy={models}:Noisy", f"{label}={models}:Nearest")))


def test_a_label_stands_for_one_model(finished, changed, models):
    with pytest.raises(
        RunFolderError, match=r"near stands for near=.*:Nearest in it, not for near=bicubic; give another"
    ):
        run(changed(models=("near=bicubic",)))
    assert verify(finished).holds


@pytest.fixture
def elsewhere(finished, monkeypatch):
    """After the run, a machine with another processor."""
    monkeypatch.setattr("srbench.benchmark.engines.hardware", lambda device: {"cpu": "abacus", "device": device})


@pytest.mark.usefixtures("elsewhere")
def test_a_finished_run_elsewhere_keeps_its_machine(finished, spec, monkeypatch):
    before = read_manifest(finished)
    monkeypatch.setattr("srbench.benchmark.run.software", lambda: {"python": "0"})
    assert run(spec).sampled == 0
    assert read_manifest(finished) == before


@pytest.mark.usefixtures("elsewhere")
def test_rows_of_unlike_machines_are_told_apart(finished, changed, models):
    run(changed(models=(f"noisy={models}:Noisy",), temperature=(0.5,)))
    machines = [one.hardware["cpu"] for one in read_manifest(finished).invocations]
    assert machines[1] == "abacus"
    assert machines[0] != "abacus"


def test_a_data_set_says_where_its_lr_images_come_from(command, photos, tmp_path):
    for says, origin, options in (
        ("", "as the dataset gives it", []),
        ("    lr_origin = 'a camera of its own'\n", "a camera of its own", ["--crop", 16]),
    ):
        (tmp_path / "own.py").write_text(OWN_LR.replace('    name = "own"\n', f'    name = "own"\n{says}'))
        out = tmp_path / f"run{len(options)}"
        arguments = ["--data", "own.py:OwnLR", "--metrics", "psnr", "--out", out]
        assert command("run", "--models", "bicubic", "--scale", 4, *arguments, *options).code == 0
        assert f"- LR: {origin}\n" in (out / "report" / "report.md").read_text()
        assert read_manifest(out).protocol.lr == origin


def test_every_face_of_a_report_states_the_signatures(finished, command):
    command("report", finished)
    psnr, sigma = "PSNR|RGB|floor|crop0|v1", "SIGMA|RGB|float|ddof1|v1|n2"
    text = (
        (finished / "report" / "report.md")
        .read_text()
        .partition("<summary>Signatures</summary>")[2]
        .partition("</details>")[0]
    )
    page, tex = (finished / "report" / "report.html").read_text(), (finished / "report" / "table.tex").read_text()
    for signature in (psnr, sigma):
        assert f"`{signature}`" in text
        assert page.count(signature) >= 3, "in the tooltip, under the table, beside the definition"
        assert re.search(rf"^% Signatures: .*{re.escape(signature)}", tex, re.MULTILINE)
        assert signature in (finished / "report" / "rows.csv").read_text()
        assert signature in (finished / "report" / "table.csv").read_text()
    row = json.loads((finished / "rows.jsonl").read_text().splitlines()[0])
    assert row["signature"] == psnr


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
    for row in measurements_of(RunFolder.read(folder)):
        found.setdefault(row.setting.model, []).append(row.image)
    return found


def test_rows_of_a_model_that_was_not_run_again(near, grow):
    folder = run(near("a", limit=None)).folder
    grow()
    run(near("b", limit=None))
    assert rows(folder) == {"a": ["a", "b", "c", "d"], "b": ["0", "1", "a", "b", "c", "d"]}
    assert not verify(folder).contradicted
    assert run(near("a", limit=None)).sampled == 2, "its four others are still valid"


def test_a_limit_and_new_names_that_come_first(near, grow):
    folder = run(near("a", limit=2)).folder
    grow()
    run(near("b", limit=2))
    assert rows(folder) == {"a": ["a", "b"], "b": ["0", "1"]}
    assert run(near("a", limit=2)).sampled == 2
    assert rows(folder) == {"a": ["0", "1", "a", "b"], "b": ["0", "1"]}
    assert read_manifest(folder).scope == ("0", "1", "a", "b")
    assert not verify(folder).contradicted


def test_an_image_that_has_changed_leaves_the_rows_of_others(near, photos, draw_image):
    folder = run(near("a", limit=None)).folder
    write_png(Path(photos) / "c.png", draw_image(30, 40, 32))
    run(near("b", limit=None))
    assert rows(folder) == {"a": ["a", "b", "d"], "b": ["a", "b", "c", "d"]}
    assert not verify(folder).contradicted
