"""Votes in a report: a sentence and a section; nothing without votes, and a note on damaged votes."""

from __future__ import annotations

import re
import sys

import pytest

from srbench.reporting.writers.check import report_findings
from srbench.reporting.writers.report import write_report
from srbench.run_folder.records import append
from srbench.voting.records import Vote
from srbench.voting.study import open_study, turns


@pytest.fixture
def voted(make_run):
    """A run with the votes of two raters, who prefer the first model; nobody was asked about the third."""
    values = {(name, None): {f"i{n}": (20.0 + n % 3, 0.1 + n / 100) for n in range(8)} for name in ("a", "b", "c")}
    run = make_run("run", values)
    study = open_study(run, begin=True)
    for rater in ("ann", "bob"):
        for question in (study.question(asked) for turn in turns(study, ("a", "b")) for asked in turn):
            choice = "left" if question.left.name == "a" else "right"
            append(run, [Vote(rater, "2026-01-01T00:00:00+00:00", question, choice)])
    return run


def test_votes_are_a_sentence_and_a_section_with_two_tables(voted):
    report = write_report([voted])
    assert any(line.startswith("Preferred by people: a, 9") for line in report.remarks)
    text = next(file for file in report.files if file.name == "report.md").read_text()
    assert "\n## People\n" in text
    assert re.search(r"^\| a +\| +9\d % +\| +9\d–9\d % +\| +16 +\|$", text, re.M), text
    assert re.search(r"^\| LPIPS +\| +50 % +\| +50–50 % +\| +16 +\| +– +\|$", text, re.M)
    page = next(file for file in report.files if file.name == "report.html").read_text()
    assert '<section id="people"' in page
    assert re.search(r"<tr><th scope=\"row\">a</th><td>9\d %</td>", page)
    assert report_findings(voted) == []


def test_a_run_without_votes_shows_none_and_damaged_votes_are_a_note(voted):
    (voted / Vote.FILE).write_text("{}\n")
    report = write_report([voted])
    assert "Preferred by people" not in " ".join(report.remarks)
    text = next(file for file in report.files if file.name == "report.md").read_text()
    assert "Votes are not shown: " in text
    (voted / Vote.FILE).unlink()
    report = write_report([voted])
    for file in report.files:
        if file.name in ("report.md", "report.html"):
            assert "votes" not in re.sub(r"<(style|script).*?</\1>", "", file.read_text(), flags=re.S).lower()


def test_votes_that_cannot_be_counted_without_evalica_are_a_note(voted, monkeypatch):
    monkeypatch.setitem(sys.modules, "evalica", None)
    text = write_report([voted]).files[0].read_text()
    assert "Votes are not shown: counting votes needs evalica; install it: pip install 'sr-bench\\[votes\\]'" in text
