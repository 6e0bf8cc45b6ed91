"""What a report prints is checked against its records."""

from __future__ import annotations

import json
import math
import re
import shutil

import pytest
from record_runs import forge_list

from srbench.benchmark.run import score_run
from srbench.reporting.generated_folder import FILE
from srbench.reporting.tables.templating import code_of_report
from srbench.reporting.writers.check import report_findings
from srbench.reporting.writers.leaderboard import renew
from srbench.reporting.writers.report import write_report

pytestmark = pytest.mark.usefixtures("with_plots")


@pytest.fixture
def reported(reported_run, tmp_path):
    """A copy of a finished run with its report."""
    shutil.copytree(reported_run, tmp_path / "run")
    return tmp_path / "run"


def kinds(run):
    return [(found.kind, found.where) for found in report_findings(run)]


def test_a_report_of_its_records_is_right(reported):
    assert report_findings(reported) == []
    write_report([reported], ("csv",))
    assert report_findings(reported) == []
    write_report([reported], single_file=True, baseline="noisy-t0.8")
    assert report_findings(reported) == []
    shutil.rmtree(reported / "report")
    assert report_findings(reported) == []


@pytest.mark.parametrize("name", ["report.html", "report.md", "table.tex", "table.csv", "rows.csv"])
def test_another_number_in_a_text(reported, name):
    file = reported / "report" / name
    text = file.read_text()
    shown = re.search(r"(?<=[|,*<>:{ ])1\d\.\d+", text)
    file.write_text(f"{text[: shown.start()]}99.1{text[shown.end() :]}")
    assert kinds(reported)[0] == ("differs", f"report/{name}")
    forge_list(reported)
    [found] = report_findings(reported)
    assert (found.kind, found.where) == ("differs", f"report/{name}")
    line = text[: shown.start()].count("\n") + 1
    assert found.text == f"shows 99.1 in line {line}, and its records give {shown[0]}"


@pytest.mark.parametrize("name", ["report.html", "report.md", "table.tex"])
def test_another_word_in_a_text(reported, name):
    file = reported / "report" / name
    file.write_text(file.read_text().replace("PSNR", "PSNR (Y)", 1))
    forge_list(reported)
    [found] = report_findings(reported)
    assert (found.kind, found.where) == ("differs", f"report/{name}")
    assert found.text.endswith("is not that of the report made from its records")


def test_the_last_bit_of_a_number_does_not_count(reported):
    file = reported / "report" / "rows.csv"
    text = file.read_text()
    number = max(re.findall(r"\d+\.\d+", text), key=len)
    file.write_text(text.replace(number, repr(math.nextafter(float(number), 0))))
    forge_list(reported)
    assert report_findings(reported) == []


def test_changed_added_and_missing_files(reported):
    (reported / "report" / "report.html").write_text("mine")
    (reported / "report" / "mine.txt").write_text("mine")
    (reported / "report" / "table.tex").unlink()
    assert kinds(reported) == [
        ("differs", "report/mine.txt"),
        ("differs", "report/report.html"),
        ("not compared", "report/table.tex"),
        ("differs", "report/report.html"),
    ]
    (reported / "report" / FILE).unlink()
    assert kinds(reported) == [("not compared", f"report/{FILE}")]


def test_a_listing_that_lacks_a_file_of_its_keys(reported):
    file = reported / "report" / FILE
    listing = json.loads(file.read_text())
    for name in listing["keys"]:
        del listing["files"][name]
    file.write_text(json.dumps(listing))
    assert kinds(reported) == [("not compared", f"report/{FILE}")]


def test_a_report_older_than_its_records(reported):
    score_run(reported, ("lr_psnr",))
    assert kinds(reported) == [("not compared", "report")]
    write_report([reported])
    assert report_findings(reported) == []


def test_a_report_of_another_version_is_contradicted_by_nothing(reported):
    """It may have the texts of this version; if not, nobody knows what the other version would have written."""
    listing = reported / "report" / FILE
    code = code_of_report("srbench.reporting.writers.report")
    listing.write_text(listing.read_text().replace(code, "0" * 64))
    assert report_findings(reported) == []
    file = reported / "report" / "report.md"
    file.write_text(file.read_text().replace("## Data", "## Images"))
    forge_list(reported)
    [found] = report_findings(reported)
    assert (found.kind, found.where) == ("not compared", "report")
    assert "another version of srbench" in found.text


def test_templates_are_code_of_a_report(monkeypatch):
    before = code_of_report("srbench.reporting.writers.report")
    monkeypatch.setattr("srbench.reporting.tables.templating.source", lambda name: f"another {name}")
    code_of_report.cache_clear()
    assert code_of_report("srbench.reporting.writers.report") != before
    code_of_report.cache_clear()


def test_a_caption_and_label_of_the_author_stay_when_the_report_is_renewed(finished, command):
    options = ("--caption", r"Denoising \cite{x}.", "--label", "tab:mine")
    assert command("report", finished, *options).code == 0
    lines = [r"\caption{Denoising \cite{x}.}", r"\label{tab:mine}"]
    table = finished / "report" / "table.tex"
    assert [line for line in table.read_text().splitlines() if line.startswith((r"\caption", r"\label"))] == lines
    assert report_findings(finished) == []
    (finished / "report" / "report.html").unlink()
    renew(finished)
    assert all(line in table.read_text() for line in lines)
    assert command("report", finished).code == 0
    assert r"\cite" not in table.read_text()
    wrong = command("report", finished, "--label", "a}b")
    assert (wrong.code, "label 'a}b'" in wrong.err) == (1, True)
    folder = command("report", finished.parent, *options)
    assert (folder.code, "--caption goes with runs" in folder.err) == (2, True)
