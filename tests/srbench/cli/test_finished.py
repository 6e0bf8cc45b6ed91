"""Commands that were finished before do nothing again, until anything that they depend on has changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

import srbench.benchmark.request
import srbench.reporting.measurements
from srbench.benchmark.request import open_bench
from srbench.cli import finished, stamps
from srbench.cli.reporting import Written
from srbench.images.io import read_uint8, write_png
from srbench.plugins import registry
from srbench.reporting.files import Choices

METRIC = """
from srbench.interfaces import MetricFacts


class Mine:
    facts = MetricFacts(name="mine", title="Mine", direction=1, protocol="a test")

    def __call__(self, samples, pair):
        return samples.mean(dim=(1, 2, 3))
"""
SUITE = 'name = "mine"\nversion = 1\nmetrics = ["psnr", "sigma"]\n'
BENCH = 'models = ["bicubic"]\nscale = 4\ndata = "./photos"\nout = "run"\nmetrics = ["psnr"]\n'


@pytest.fixture
def opened(command, monkeypatch, tmp_path):
    """A command line; returns what it prints, and how many times it opened a request or read records for a report."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "BEGUN", float("inf"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "model.py").write_text("gain = 1\n")
    (tmp_path / "code" / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(finished.Command, "_code", [tmp_path / "code"])
    times = []

    def counted(function):
        return lambda *given, **named: (times.append(1), function(*given, **named))[1]

    monkeypatch.setattr(srbench.benchmark.request, "open_bench", counted(open_bench))
    monkeypatch.setattr("srbench.reporting.report.read_runs", counted(srbench.reporting.measurements.read_runs))

    def call(*arguments):
        times.clear()
        return command(*arguments), len(times)

    return call


RUN = ("run", "--models", "bicubic", "--scale", 4, "--data", "./photos", "--metrics", "psnr", "--out", "run")


def first_image(tmp_path):
    return tmp_path / "run" / "images" / "bicubic" / "a.png"


def test_a_finished_run_shows_the_same_again(opened, photos):
    first, times = opened(*RUN)
    assert (first.code, times) == (0, 2)
    again, times = opened(*RUN)
    assert (again.code, again.out, times) == (0, first.out, 0)
    assert again.err == "nothing to do: all 4 items are measured in run\n"


def test_so_does_a_report(opened, photos):
    opened(*RUN)
    first, times = opened("report", "run")
    assert times == 1
    again, times = opened("report", "run")
    assert (again.out, again.err, times) == (first.out, "", 0)
    assert opened("report", "run", "--baseline", "bicubic")[1] == 1


def change_line(file):
    text = file.read_text()
    file.write_text(text[: text.rindex("\n", 0, -1) + 1])


def same_times(file, content):
    """Write as many bytes in place, and set the time of the change back."""
    before = file.stat()
    assert len(content) == before.st_size
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def turned(file):
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    return bytes(content)


CHANGES = {
    "an output deleted": lambda path: first_image(path).unlink(),
    "an output truncated": lambda path: os.truncate(first_image(path), 50),
    "an output replaced by another": lambda path: shutil.copy(path / "run/images/bicubic/d.png", first_image(path)),
    "an output edited in place": lambda path: same_times(first_image(path), turned(first_image(path))),
    "an output that is a link": lambda path: first_image(path).rename(path / "a") or first_image(path).symlink_to("a"),
    "a pair deleted": lambda path: (path / "run" / "images" / "hr" / "b.png").unlink(),
    "a row removed": lambda path: change_line(path / "run" / "rows.jsonl"),
    "a sample removed": lambda path: change_line(path / "run" / "samples.jsonl"),
    "the sums deleted": lambda path: (path / "run" / "SHA256SUMS").unlink(),
    "the manifest deleted": lambda path: (path / "run" / "manifest.json").unlink(),
    "the page edited": lambda path: (path / "run" / "report.html").write_text("mine"),
    "a plot deleted": lambda path: next((path / "run" / "plots").iterdir()).unlink(),
    "votes": lambda path: (path / "run" / "votes.jsonl").touch(),
    "somebody writes": lambda path: (path / "run" / ".owner.json").touch(),
    "an image of the dataset edited": lambda path: same_times(path / "photos/a.png", turned(path / "photos/a.png")),
    "an image of the dataset added": lambda path: shutil.copy(path / "photos" / "a.png", path / "photos" / "e.png"),
    "an image of the dataset deleted": lambda path: (path / "photos" / "a.png").unlink(),
    "a layout in the dataset": lambda path: (
        (path / "photos" / "image_SRF_4").mkdir()
        or (shutil.copy(path / "photos" / "a.png", path / "photos" / "image_SRF_4"))
    ),
    "a linked folder in the dataset": lambda path: (path / "photos" / "HR").symlink_to(path / "code"),
    "code edited": lambda path: (path / "code" / "model.py").write_text("gain = 2\n"),
    "code added": lambda path: (path / "code" / "more.py").touch(),
    "packaged weights swapped": lambda path: (path / "code" / "model.safetensors").write_bytes(b"weightz"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_noticed(opened, photos, tmp_path, change):
    opened(*RUN)
    assert opened(*RUN)[1] == 0
    CHANGES[change](tmp_path)
    assert opened(*RUN)[1] >= 1


def test_a_later_change_too(opened, photos, tmp_path, monkeypatch):
    """Contents count only for a while: then the times tell, of which no program can set that of the last change."""
    monkeypatch.setattr(stamps, "MARGIN", -3600.0)
    opened(*RUN)
    assert opened(*RUN)[1] == 0
    same_times(first_image(tmp_path), turned(first_image(tmp_path)))
    assert opened(*RUN)[1] >= 1


def test_what_was_lost_is_made_again_and_then_known(opened, photos, tmp_path):
    opened(*RUN)
    before = first_image(tmp_path).read_bytes()
    first_image(tmp_path).unlink()
    opened(*RUN)
    assert first_image(tmp_path).read_bytes() == before
    assert opened(*RUN)[1] == 0


def test_other_software_or_another_place(opened, photos, tmp_path, monkeypatch):
    opened(*RUN)
    (tmp_path / "path" / "numpy-99.dist-info").mkdir(parents=True)
    with monkeypatch.context() as changed:
        changed.syspath_prepend(str(tmp_path / "path"))
        assert opened(*RUN)[1] >= 1
    with monkeypatch.context() as changed:
        changed.setenv("SRBENCH_OFFLINE", "1")
        assert opened(*RUN)[1] >= 1
    with monkeypatch.context() as changed:
        changed.setattr(finished.Command, "_code", [tmp_path / "photos"])
        assert opened(*RUN)[1] >= 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "photos", "photos")
    assert opened(*RUN)[1] >= 1


def test_a_package_that_is_installed_again(opened, photos, tmp_path, monkeypatch):
    """At the same version: it may have other plug-ins."""
    installed = tmp_path / "path" / "mine-0.1.dist-info"
    installed.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    opened(*RUN)
    assert opened(*RUN)[1] == 0
    installed.rmdir()
    installed.mkdir()
    assert opened(*RUN)[1] >= 1


DATASET = """
from pathlib import Path

from srbench.data.datasets import Folder


def made(scale):
    return Folder(Path("photos"), scale)
"""


def test_a_dataset_of_others_leaves_no_stamp_though_it_is_a_folder(opened, photos, tmp_path):
    (tmp_path / "mine.py").write_text(DATASET)
    request = tuple("mine.py:made" if word == "./photos" else word for word in RUN)
    assert opened(*request)[0].code == 0
    assert opened(*request)[1] >= 1


def test_a_folder_whose_name_is_not_unicode(opened, photos, tmp_path, monkeypatch):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/b\xfcro")
    os.mkdir(folder)  # noqa: PTH102 - its name is not text
    monkeypatch.chdir(folder)
    request = ("run", "--models", "bicubic", "--scale", 4, "--data", photos, "--metrics", "psnr", "--out", "run")
    assert opened(*request)[0].code == 0


def test_files_that_a_request_names(opened, photos, tmp_path):
    write_png(tmp_path / "made" / "a.png", 255 - read_uint8(tmp_path / "photos" / "a.png"))
    (tmp_path / "suite.toml").write_text(SUITE)
    request = (
        "run",
        "--models",
        "bicubic,mine=made",
        "--scale",
        4,
        "--data",
        "./photos",
        "--limit",
        1,
        "--suite",
        "suite.toml",
        "--out",
        "run",
    )
    for file, content in (("suite.toml", f"{SUITE}# mine\n".encode()), ("made/a.png", None)):
        opened(*request)
        assert opened(*request)[1] == 0, file
        (tmp_path / file).write_bytes(content or turned(tmp_path / file))
        assert opened(*request)[1] >= 1, file


def test_a_file_of_options(opened, photos, tmp_path):
    (tmp_path / "bench.toml").write_text(BENCH)
    opened("run", "bench.toml")
    assert opened("run", "bench.toml")[1] == 0
    (tmp_path / "bench.toml").write_text(BENCH.replace('"psnr"', '"psnr", "sigma"'))
    assert opened("run", "bench.toml")[1] >= 1


def test_a_newer_run_of_the_same_command(opened, photos, tmp_path):
    request = RUN[:-2]
    opened(*request)
    assert opened(*request)[1] == 0
    [run] = (tmp_path / "runs").iterdir()
    shutil.copytree(run, tmp_path / "runs" / "2999-12-31-bicubic-x4")
    again, times = opened(*request)
    assert times >= 1
    assert "2999-12-31" in again.out


def test_plug_ins_of_others_are_asked_by_every_command(opened, photos, models, tmp_path):
    (tmp_path / "mine.py").write_text(METRIC)
    for request in (
        [*RUN[:2], f"{models}:Nearest", *RUN[3:]],
        [*RUN[:8], "psnr,mine.py:Mine", *RUN[9:-1], "other"],
    ):
        for _ in range(3):
            assert opened(*request)[1] >= 1


def test_nothing_is_known_after_a_warning_or_a_failure(opened, photos, tmp_path, monkeypatch):
    (tmp_path / "photos" / "a.png").write_bytes(b"no image")
    for _ in range(2):
        assert opened(*RUN)[0].code == 1
        assert opened(*RUN)[1] >= 1
    (tmp_path / "photos" / "a.png").unlink()
    monkeypatch.setattr(finished, "WARNED", ["left out of the table"])
    for _ in range(3):
        assert opened(*RUN[:-1], "other")[1] >= 1


def test_nothing_is_known_of_code_that_changed_since_it_was_loaded(opened, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(stamps, "BEGUN", (tmp_path / "code" / "model.py").stat().st_ctime)
    for _ in range(3):
        assert opened(*RUN)[1] >= 1


def test_what_happens_while_a_command_works_is_not_taken_for_finished(opened, photos, tmp_path, monkeypatch):
    """An output that goes while the report is written is missed by the next command."""
    opened(*RUN)
    shutil.rmtree(tmp_path / "cache")
    remember = finished.Command.remember_report

    def late(self, *given):
        first_image(tmp_path).unlink()
        remember(self, *given)

    monkeypatch.setattr(finished.Command, "remember_report", late)
    opened(*RUN)
    monkeypatch.setattr(finished.Command, "remember_report", remember)
    assert opened(*RUN)[1] >= 1
    assert first_image(tmp_path).exists()


def test_an_old_report_is_not_taken_for_finished(opened, photos, tmp_path):
    """One of other records, of other choices, or of which a file is not there."""
    opened(*RUN)
    run, written = tmp_path / "run", Written([], [], ["a table"], "")
    asked = finished.Command("report", {"runs": ["run"]})
    table, list_of_files = (run / "table.csv").read_bytes(), (run / "report.json").read_text()
    asked.remember_report(finished.Records.of(run), written, Choices(most=3))
    (run / "table.csv").write_bytes(b"mine")
    asked.remember_report(finished.Records.of(run), written, Choices())
    (run / "table.csv").write_bytes(table)
    (run / "report.json").write_text(re.sub(r'"sha256": "\w', '"sha256": "x', list_of_files))
    asked.remember_report(finished.Records.of(run), written, Choices())
    assert not asked.is_known()
    (run / "report.json").write_text(list_of_files)
    asked.remember_report(finished.Records.of(run), written, Choices())
    assert asked.is_known()


@pytest.mark.parametrize("kind", ["models", "metrics"])
def test_lists_of_what_is_installed(opened, tmp_path, monkeypatch, kind):
    asked = []
    describe = registry.describe
    monkeypatch.setattr(registry, "describe", lambda *named: (asked.append(named), describe(*named))[1])
    first, _ = opened("list", kind)
    assert asked
    asked.clear()
    assert (opened("list", kind)[0], asked) == (first, [])
    (tmp_path / "code" / "model.py").write_text("gain = 2\n")
    opened("list", kind)
    assert asked


def test_lists_with_a_plug_in_of_others(opened, monkeypatch):
    """It may describe itself in other words the next time."""
    monkeypatch.setattr("srbench.plugins.registry.is_ours", lambda kind, name: name != "psnr")
    first, _ = opened("list", "metrics")
    monkeypatch.setattr(registry, "describe", lambda kind, name: "something else")
    assert opened("list", "metrics")[0].out != first.out


def test_other_terminals_have_texts_of_their_own(monkeypatch):
    values = {"runs": ("run",)}
    files = {finished.Command("report", values)._file}
    monkeypatch.setattr("srbench.terminal.output._STDOUT._width", 40, raising=False)
    monkeypatch.setenv("COLUMNS", "41")
    files.add(finished.Command("report", values)._file)
    assert len(files) == 2


def test_old_stamps_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(stamps, "MOST", 2)
    stamp = stamps.Stamp(0.0, (), "", "", "")
    for name in "abcd":
        stamps.write_stamp(tmp_path / name, stamp)
        os.utime(tmp_path / name, (ord(name), ord(name)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d"]


def test_a_stamp_that_is_none(tmp_path):
    stamp = stamps.Stamp(0.0, (), stamps.fingerprint([], 0.0), "", "")
    stamps.write_stamp(tmp_path / "whole", stamp)
    assert stamps.fitting(tmp_path / "whole") == stamp
    (tmp_path / "torn").write_bytes((tmp_path / "whole").read_bytes()[:-5])
    assert stamps.fitting(tmp_path / "torn") is None
    assert stamps.fitting(tmp_path / "missing") is None


def test_a_repeat_loads_neither_torch_nor_pandas(tmp_path):
    """In a process of its own: two commands of packaged photographs, models and weights."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    run = ("run", "--models", "bicubic", "--scale", "4", "--limit", "1", "--metrics", "psnr", "--out", "run")
    command = [sys.executable, "-X", "importtime", "-m", "srbench", *run]
    for _ in range(2):
        found = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert "nothing to do: the only item is measured in run" in found.stderr
    loaded = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert "click" in loaded
    assert not loaded & {"torch", "pandas", "numpy"}
