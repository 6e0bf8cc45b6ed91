"""Nothing of the user's is deleted, overwritten or reached through a link, whatever a folder from elsewhere says."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys

import pytest

from srbench.benchmark.run import run
from srbench.images.io import encode_png, write_png
from srbench.reporting import ReportError
from srbench.reporting.files import ReportFolder
from srbench.reporting.report import write_report
from srbench.run_folder import RunFolderError

FOLDERS = ("strips", "grids", "maps", "sheets", "plots", "compare")


@pytest.fixture
def image(draw_image):
    return draw_image(5, 16, 16)


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", ["strips/mine.png", "notes.txt", "images/hr/a.png", "rows.jsonl", ".hidden"])
def test_a_folder_with_other_things_is_refused(spec, tmp_path, image, name):
    path = tmp_path / "run" / name
    write_png(path, image)
    before = everything(tmp_path / "run")
    first = re.escape(name.partition("/")[0])
    with pytest.raises(RunFolderError, match=rf"not empty, and not a run folder \({first} is in it\); choose another"):
        run(spec)
    assert everything(tmp_path / "run") == before


def test_images_that_somebody_has_put_among_ours_stay(finished, spec, command, image):
    """Also where a report has fewer files than the one before."""
    command("report", finished)
    mine = [finished / folder / "mine.png" for folder in FOLDERS]
    mine += [finished / "maps" / "near" / "deep" / "mine.png", finished / "plots" / "mine.svg"]
    for path in mine:
        write_png(path, image)
    changed_by_me = finished / "strips" / "a.png"
    changed_by_me.write_bytes(encode_png(image))
    (finished / "images" / "hr" / "a.png").unlink()
    assert command("report", finished).code == 0
    assert all(path.read_bytes() == encode_png(image) for path in [*mine, changed_by_me])
    assert not (finished / "sheets" / "a.png").exists(), "ours, and of an image that can no longer be shown"
    assert (finished / "strips" / "b.png").exists()


def test_files_in_the_way_of_a_report_are_kept(finished, command, image):
    command("report", finished)
    (finished / "report.md").write_text("my notes")
    write_png(finished / "strips" / "a.png", image)
    (finished / "table.tex.1").write_text("mine")
    (finished / "table.tex").write_text("mine too")
    done = command("report", finished)
    assert done.code == 0
    assert f"{finished / 'report.md'}: not written by srbench, or changed since; kept as report.md.1" in done.err
    assert (finished / "report.md.1").read_text() == "my notes"
    assert (finished / "strips" / "a.png.1").read_bytes() == encode_png(image)
    assert (finished / "table.tex.2").read_text() == "mine too"
    assert (finished / "report.md").read_text().startswith("# Super-resolution")
    before = everything(finished)
    assert command("report", finished).code == 0
    assert everything(finished) == before


def test_a_report_makes_only_what_shows_something_new(finished, command, monkeypatch):
    command("report", finished)
    made = {path: path.stat().st_mtime_ns for path in finished.rglob("*.png")}
    before = everything(finished)
    (finished / "strips" / "a.png").unlink()
    drawn = []
    monkeypatch.setattr("srbench.reporting.figures.image_files.maps_of", lambda *_: drawn.append("maps"))
    assert command("report", finished).code == 0
    assert everything(finished) == before
    assert not drawn
    assert [path for path in made if path.stat().st_mtime_ns != made[path]] == [finished / "strips" / "a.png"]


def test_a_report_of_what_is_there_needs_no_heavy_library(finished, command):
    """They take most of the time of a command that has nothing to do."""
    command("report", finished)
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'matplotlib', 'scipy'])); from pathlib import Path; "
        "from srbench.reporting.report import write_report; write_report([Path(sys.argv[1])])"
    )
    before = everything(finished)
    subprocess.run([sys.executable, "-c", script, str(finished)], check=True)
    assert everything(finished) == before


def test_what_a_killed_report_has_left_is_ours(finished, command):
    command("report", finished)
    listed = json.loads((finished / "report.json").read_text())
    del listed["files"]["report.md"]
    (finished / "report.json").write_text(json.dumps(listed | {"finished": False}))
    (finished / "report.md").write_text("half of a report")
    assert command("report", finished).code == 0
    assert not (finished / "report.md.1").exists()


def test_a_report_that_fails_leaves_edited_files_to_be_kept(finished, command):
    command("report", finished)
    (finished / "report.md").write_text("my notes")
    failed = command("report", finished, "--baseline", "typo")
    assert (failed.code, "unknown baseline" in failed.err) == (1, True)
    assert command("report", finished).code == 0
    assert (finished / "report.md.1").read_text() == "my notes"


def test_a_folder_of_another_spelling_is_that_of_the_run(finished, command, monkeypatch):
    monkeypatch.chdir(finished)
    assert command("report", ".").code == 0
    before = everything(finished)
    assert command("report", ".", "--out", finished.resolve()).code == 0
    assert everything(finished) == before


@pytest.mark.parametrize("name", FOLDERS[:5])
def test_links_are_not_followed(finished, command, tmp_path, image, name):
    command("report", finished)
    outside = tmp_path / "outside"
    for file in (finished / name).rglob("*"):
        if file.is_file():
            target = outside / file.relative_to(finished / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)
    write_png(outside / "old.png", image)
    for path in sorted((finished / name).rglob("*"), reverse=True):
        path.rmdir()
    (finished / name).rmdir()
    (finished / name).symlink_to(outside)
    before = everything(outside)
    done = command("report", finished)
    assert done.code == 1
    assert "a link, and a report is only written into real folders; remove it" in done.err
    assert everything(outside) == before


def test_a_report_goes_into_an_empty_folder_or_its_own(finished, tmp_path, image):
    out = tmp_path / "report"
    write_report([finished], ["csv"], out)
    write_report([finished], ["csv", "tex"], out)
    assert sorted(path.name for path in out.iterdir()) == [
        "report.json",
        "rows.csv",
        "table.csv",
        "table.tex",
        "table_intervals.tex",
    ]
    write_png(tmp_path / "mine" / "a.png", image)
    with pytest.raises(ReportError, match=r"not empty, and no report in it \(a.png is\); choose another --out"):
        write_report([finished], ["csv"], tmp_path / "mine")


def test_formats_are_written_one_by_one(finished):
    write_report([finished])
    before = everything(finished)
    write_report([finished], ["csv"])
    write_report([finished], ["md"])
    assert everything(finished) == before


@pytest.mark.parametrize("name", ["../outside.txt", "{outside}", "a/../../outside.txt"])
def test_a_list_of_files_cannot_name_what_is_outside(finished, tmp_path, name):
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (finished / "a").mkdir()
    name = name.format(outside=outside)
    digest = hashlib.sha256(b"mine").hexdigest()
    (finished / "report.json").write_text(json.dumps({"finished": True, "files": {name: digest}}))
    folder = ReportFolder(finished)
    folder.write("report.md", b"x")
    folder.finish()
    assert outside.read_text() == "mine"


def replaced(facts, old, new):
    return json.loads(json.dumps(facts).replace(json.dumps(old), json.dumps(new)))


@pytest.mark.parametrize("new", ["../near", "/tmp/near", "a/b", "..", ".", "", "a\0b", "a\\b"])
@pytest.mark.parametrize("old", ["near", "a", "psnr"])
def test_names_cannot_lead_out_of_the_folder(finished, command, tmp_path, old, new):
    """A label, an image or a metric in a manifest and lines from elsewhere."""
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(finished)}
    for name in ("manifest.json", "pairs.jsonl", "samples.jsonl", "rows.jsonl"):
        path = finished / name
        if name == "manifest.json":
            path.write_text(json.dumps(replaced(json.loads(path.read_text()), old, new)))
        else:
            lines = [json.dumps(replaced(json.loads(line), old, new)) for line in path.read_text().splitlines()]
            path.write_text("\n".join(lines) + "\n")
    for arguments in (["report", finished], ["verify", finished], ["score", finished, "--metrics", "ssim"]):
        done = command(*arguments)
        assert done.code == 1
        assert "Traceback" not in done.err
        assert len(done.err.strip().splitlines()) == 1
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(finished)} == before
