"""Reports of a run while it is being written."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from builders import metric
from filelock import FileLock

from srbench.benchmark.run import run as run_benchmark
from srbench.benchmark.run import score_run
from srbench.benchmark.verify import verify
from srbench.reporting import ReportError, files
from srbench.reporting.check import check_report
from srbench.reporting.measurements import read_runs
from srbench.reporting.notes import notes_of
from srbench.reporting.page import view as viewing
from srbench.reporting.report import write_report
from srbench.reporting.scores import score
from srbench.run_folder import records
from srbench.run_folder.folder import RunFolder


def test_ten_reports_of_a_run_that_is_being_written(slow_run):
    run, let, process = slow_run
    counts = []
    for turn in range(1, 11):
        let(8 + 2 * turn)  # two more images, while the report is made
        report = write_report([run])
        counts.append(report.scores.lines[0].images)
        text = report.files[0].read_text()
        assert f"> Not all of the 40 images are measured: Slow {counts[-1]}." in text
        assert "Left out" not in text
    assert process.poll() is None, "the run is still at work"
    let(99)
    process.wait(timeout=300)
    assert counts == sorted(counts)
    assert verify(run).holds
    assert len(read_runs([run]).rows) == 40


def test_a_state_in_the_middle_of_a_line_of_writing_is_consistent(make_run, monkeypatch):
    """Another process finishes an image while the folder is read: its lines count together or not at all."""
    run = make_run("run", {("m", None): {"a": (20.0, 0.5)}}, images=["a", "b"])
    make_run("other", {("m", None): {"a": (20.0, 0.5), "b": (30.0, 0.4)}})
    names = {kind.FILE for kind in records.KINDS}
    before, read = {}, records.read

    def lines(folder, kind):
        found = list(read(folder, kind))
        if not before:
            before.update(dict.fromkeys(names))
            for name in names & {path.name for path in (run.parent / "other").iterdir()}:
                (run / name).write_bytes((run.parent / "other" / name).read_bytes())
        return found

    monkeypatch.setattr(records, "read", lines)
    folder = RunFolder.read(run)
    assert folder.of("b").samples, "it has been sampled"
    monkeypatch.undo()
    measurements = read_runs([run])
    table = measurements.table()
    assert not [
        note for note in notes_of(measurements, score(table, table.summary(), (metric("psnr"),))) if "Left" in note
    ]
    for setting, sample in folder.of("b").samples.items():
        assert folder.sample(setting, "b") is sample, "and its pair is there"


def test_two_reports_take_turns(make_run, monkeypatch):
    run = make_run("run", {("m", None): {"a": (20.0, 0.5)}})
    monkeypatch.setattr(files, "WAIT", 0.1)
    with FileLock(run / ".lock"):
        write_report([run], ["csv"])
    with (
        FileLock(run / ".report.lock"),
        pytest.raises(ReportError, match="another report is being written there; wait"),
    ):
        write_report([run], ["csv"])
    write_report([run], ["csv"])


@pytest.fixture
def shown(finished, monkeypatch):
    """Texts of the page and of report.md as ``srbench view`` would serve them."""
    monkeypatch.setattr(viewing, "open_folder", lambda run, port: SimpleNamespace(address=""))
    monkeypatch.setattr(viewing, "serve", lambda server, message, browser: None)

    def call():
        viewing.view(finished)
        files = [finished / name for name in ("report.html", "report.md")]
        return [file.read_text() if file.exists() else "" for file in files]

    return call


def test_a_page_that_is_older_than_its_rows_is_made_anew(shown, finished, spec):
    assert "PSNR" in shown()[0], "a run that was never reported"
    write_report([finished])
    made = (finished / "report.html").stat().st_mtime_ns
    shown()
    assert (finished / "report.html").stat().st_mtime_ns == made, "nothing is new"
    score_run(finished, ("lr_psnr",))
    assert all("LR-PSNR" in text for text in shown()), "the page, and what else there is of the report"
    run_benchmark(replace(spec, temperature=(0.3, 0.8, 0.9)))
    page, text = shown()
    assert "noisy τ=0.9" in page
    assert "noisy τ=0.9" in text


def test_the_server_renews_the_page_when_it_is_loaded_after_the_run_has_grown(finished, served, monkeypatch, capsys):
    write_report([finished], ["html"])
    server = served(finished)

    def load():
        with urllib.request.urlopen(server.address, timeout=60) as answer:
            return answer.read().decode()

    assert "LR-PSNR" not in load()
    made = (finished / "report.html").stat().st_mtime_ns
    load()
    assert (finished / "report.html").stat().st_mtime_ns == made, "nothing is new"
    score_run(finished, ("lr_psnr",))
    assert "LR-PSNR" in load()
    score_run(finished, ("brisque",))
    with monkeypatch.context() as broken:
        broken.setattr(viewing, "write_report", Mock(side_effect=ReportError("a report is being written")))
        assert "BRISQUE" not in load(), "the page that is there"
    assert "the page is not renewed: a report is being written" in capsys.readouterr().err
    assert "BRISQUE" in load()


def test_what_a_report_of_one_format_leaves_is_older_than_its_rows(finished, shown):
    """And no contradiction, which a page of other numbers than its records give would be."""
    write_report([finished])
    score_run(finished, ("lr_psnr",))
    write_report([finished], ["csv"])
    found = verify(finished)
    check_report(finished, found)
    assert {one.rule for one in found.findings if one.rule.startswith("SRB0")} == set()
    assert {one.where for one in found.findings if one.rule == "SRB110"} >= {"report.md", "report.html"}
    assert "LR-PSNR" in shown()[1]
    again = verify(finished)
    check_report(finished, again)
    assert not [one for one in again.findings if one.rule in ("SRB009", "SRB110")]
