"""Generated folders: made whole, put in place at once, and replaced only if nothing of the user's is in them."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from builders import everything
from filelock import FileLock

from srbench.reporting import ReportError, generated_folder
from srbench.reporting.generated_folder import FILE, put_in_place, read_listing, replacing
from srbench.reporting.writers.leaderboard import renew
from srbench.reporting.writers.report import write_report

FIRST = {"report.md": b"first", "plots/a.svg": b"<svg>", "gone.csv": b"1"}
SECOND = {"report.md": b"second", "plots/a.svg": b"<svg>"}


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    place = tmp_path / "new" / "report"
    for contents in (FIRST, SECOND):
        put_in_place(place, contents)
        written = everything(place)
        assert sorted(read_listing(place).files) == sorted(contents)
        del written[FILE]
        assert written == contents
    assert [path.name for path in place.parent.iterdir()] == ["report"]


def add_a_file(place):
    (place / "plots" / "mine.svg").write_text("mine")


def edit_a_file(place):
    (place / "report.md").write_text("my notes")


def add_a_link(place):
    (place / "link").symlink_to(place.parent)


def lose_the_list(place):
    (place / FILE).unlink()


def damage_the_list(place):
    (place / FILE).write_text("{")


def be_a_link(place):
    place.rename(place.with_name("elsewhere"))
    place.symlink_to("elsewhere")


def be_a_file(place):
    shutil.rmtree(place)
    place.write_text("mine")


CHANGES = {
    add_a_file: "plots/mine.svg: added or changed since srbench wrote .*; move it elsewhere",
    edit_a_file: "report.md: added or changed since srbench wrote",
    add_a_link: "link: added or changed since srbench wrote",
    lose_the_list: "report: not made by srbench, as it has no valid report.json; move it away",
    damage_the_list: "report: not made by srbench, as it has no valid report.json; move it away",
    be_a_link: "report: not a folder, but srbench writes a folder there; move it away",
    be_a_file: "report: not a folder, but srbench writes a folder there; move it away",
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_of_the_users_is_deleted_or_overwritten(tmp_path, change):
    """Neither if it was there before nor if it came while the folder was made."""
    place = tmp_path / "report"
    put_in_place(place, FIRST)
    change(place)
    before = everything(tmp_path)
    with pytest.raises(ReportError, match=CHANGES[change]):
        put_in_place(place, SECOND)
    assert everything(tmp_path) == before

    other = tmp_path / "other" / "report"
    put_in_place(other, FIRST)
    with pytest.raises(ReportError, match=CHANGES[change]):
        _change_meanwhile(other, change)
    left = everything(other.parent)
    untouched = tmp_path / "again" / "report"
    put_in_place(untouched, FIRST)
    change(untouched)
    assert left == everything(untouched.parent)


def test_the_root_of_the_disk_is_not_replaced():
    with pytest.raises(ReportError, match="/: the root of the disk, which no folder can replace; choose another"):
        put_in_place(Path("/"), FIRST)


def _change_meanwhile(place, change):
    with replacing(place) as draft:
        draft.write("report.md", b"second")
        change(place)


def _fail(place):
    with replacing(place) as draft:
        draft.write("report.md", b"half")
        raise ZeroDivisionError


def test_a_lost_file_and_litter_of_a_file_browser_do_not_hinder(tmp_path):
    place = tmp_path / "report"
    put_in_place(place, FIRST)
    (place / "gone.csv").unlink()
    (place / "plots" / ".DS_Store").write_bytes(b"view")
    put_in_place(place, SECOND)
    assert (place / "report.md").read_bytes() == b"second"


def test_after_an_error_the_folder_is_as_it_was(tmp_path):
    place = tmp_path / "report"
    put_in_place(place, FIRST)
    before = everything(tmp_path)
    with pytest.raises(ZeroDivisionError):
        _fail(place)
    assert everything(tmp_path) == before


def _die_at_rename(place, at):
    """Replace a folder, and die before its rename number ``at``."""
    left = at
    rename = type(place).rename

    def dying(self, target):
        nonlocal left
        if left == 0:
            os._exit(9)
        left -= 1
        return rename(self, target)

    type(place).rename = dying
    put_in_place(place, SECOND)
    if left == 0:
        os._exit(9)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_kill_leaves_the_old_folder_the_new_one_or_none_and_the_next_call_tidies(tmp_path, at):
    place = tmp_path / "report"
    put_in_place(place, FIRST)
    process = multiprocessing.get_context("fork").Process(target=_die_at_rename, args=(place, at))
    process.start()
    process.join(timeout=300)
    assert process.exitcode == 9
    left = (place / "report.md").read_bytes() if place.exists() else None
    assert left == [b"first", None, b"second"][at]
    with pytest.raises(ZeroDivisionError):
        _fail(place)
    assert (place / "report.md").read_bytes() == (left or b"first"), "it was brought back"
    put_in_place(place, SECOND)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_two_commands_take_turns(make_run, monkeypatch):
    run = make_run("run", {("m", None): {"a": (20.0, 0.5)}})
    monkeypatch.setattr(generated_folder, "WAIT", 0.1)
    with FileLock(run / ".lock"):
        write_report([run], ["csv"])
    with FileLock(run / ".report.lock"), pytest.raises(ReportError, match="another command is writing it; wait until"):
        write_report([run], ["tex"])
    write_report([run], ["tex"])


def test_equal_records_give_equal_bytes_and_unchanged_images_are_not_drawn_again(finished, command, monkeypatch):
    command("report", finished)
    before = everything(finished / "report")
    drawn = []
    for name in ("maps_of", "figure_bytes"):
        draw = getattr(files_of_images(), name)
        monkeypatch.setattr(
            files_of_images(), name, lambda *given, name=name, draw=draw: drawn.append(name) or draw(*given)
        )
    assert command("report", finished).code == 0
    assert everything(finished / "report") == before
    assert drawn == []
    shutil.rmtree(finished / "report")
    assert command("report", finished).code == 0
    assert everything(finished / "report") == before
    assert "maps_of" in drawn


def files_of_images():
    from srbench.reporting.figures import image_files

    return image_files


def test_a_report_is_renewed_only_if_it_is_missing_or_older_than_the_records(finished, command):
    renew(finished)
    page = finished / "report" / "report.html"
    made = page.stat().st_mtime_ns
    renew(finished)
    assert page.stat().st_mtime_ns == made
    command("report", finished, "--intervals", "--format", "html,csv")
    assert command("score", finished, "--metrics", "lr_psnr").code == 0
    (finished / "report" / "report.md").unlink()
    renew(finished)
    assert not (finished / "report" / "report.md").exists(), "the report is that of the present records"
    write_report([finished], ["csv"], intervals=True)
    renew(finished)
    assert json.loads((finished / "report" / FILE).read_text())["choices"]["intervals"], "its choices stay"
    assert "LR-PSNR" in page.read_text()


def test_a_report_is_made_again_if_an_image_is_lost_or_comes_back(finished, command):
    lost = finished / "images" / "near" / "a.png"
    content = lost.read_bytes()
    strip = finished / "report" / "strips" / "a.png"
    command("report", finished)
    drawn = strip.read_bytes()
    lost.unlink()
    command("report", finished)
    assert strip.read_bytes() != drawn, "without the model"
    assert "images/near/" in (finished / "report" / "report.html").read_text()
    lost.write_bytes(content)
    renew(finished)
    assert strip.read_bytes() == drawn


def test_a_folder_without_a_name_of_its_own_is_refused_too(finished, command, monkeypatch):
    monkeypatch.chdir(finished / "images")
    before = everything(finished)
    done = command("report", finished, "--out", "..")
    assert (done.code, "not made by srbench" in done.err) == (1, True)
    assert everything(finished) == before
