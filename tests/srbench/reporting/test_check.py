"""What a report prints is checked against its records."""

from __future__ import annotations

import re
import shutil

import pytest
from record_runs import forge_list

from srbench.benchmark.run import score_run
from srbench.reporting.check import report_findings
from srbench.reporting.files import FILE
from srbench.reporting.report import write_report


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
    write_report([reported], single_file=True, published=True, baseline="noisy-t0.8")
    assert report_findings(reported) == []
    shutil.rmtree(reported / "report")
    assert report_findings(reported) == []


@pytest.mark.parametrize("name", ["report.md", "table.csv", "rows.csv"])
def test_another_number_in_a_table(reported, name):
    file = reported / "report" / name
    text = file.read_text()
    table = text.index("| model") if name == "report.md" else 0
    number = re.compile(r"(?<=[|,*<> ])1\d\.\d+")
    shown = number.search(text, table)[0]
    file.write_text(text[:table] + text[table:].replace(shown, "99.1", 1))
    assert kinds(reported)[0] == ("changed", f"report/{name}")
    forge_list(reported)
    [found] = report_findings(reported)
    assert (found.kind, found.where) == ("numbers", f"report/{name}")
    assert found.text.startswith("shows 99.1 for ")


def test_changed_added_and_missing_files(reported):
    (reported / "report" / "report.html").write_text("mine")
    (reported / "report" / "mine.txt").write_text("mine")
    (reported / "report" / "table.tex").unlink()
    assert kinds(reported) == [
        ("changed", "report/mine.txt"),
        ("changed", "report/report.html"),
        ("missing", "report/table.tex"),
    ]
    (reported / "report" / FILE).unlink()
    assert kinds(reported) == [("missing", f"report/{FILE}")]


def test_a_report_older_than_its_records(reported):
    score_run(reported, ("lr_psnr",))
    assert kinds(reported) == [("older", "report")]
    write_report([reported])
    assert report_findings(reported) == []
