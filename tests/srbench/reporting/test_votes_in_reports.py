"""Votes in a report: a column, a sentence, a section and a plot; none without votes; verify holds all of it."""

from __future__ import annotations

import re

import pytest

from srbench.reporting.check import check_report
from srbench.reporting.report import write_report
from srbench.reporting.scores import terminal_table
from srbench.run_folder.folder import RunFolder
from srbench.verification.verify import verify
from srbench.voting.ballot import ballot, open_candidates
from srbench.voting.records import FILE, add_votes
from srbench.voting.simulated import simulated

MODELS = ("fine", "fair", "flat")


@pytest.fixture
def run(make_run):
    values = {
        (model, None): {f"i{n}": (20.0 + (n * 5) % 3, 0.1 + place / 10 + n / 100) for n in range(8)}
        for place, model in enumerate(MODELS)
    }
    return make_run("run", values)


@pytest.fixture
def voted(run):
    """The same run with the votes of ten simulated raters; nobody was asked about one of its models."""
    asked = {f"rater {n}": ballot(open_candidates(run, MODELS[:2]), f"rater {n}") for n in range(10)}
    add_votes(RunFolder.read(run), simulated(asked, {"fine": 0.7, "fair": -0.7}, {}, 1))
    return run


def test_a_run_without_votes_shows_none(run):
    report = write_report([run])
    assert "votes" not in (run / "report" / "report.md").read_text().lower()
    assert '<section id="votes"' not in (run / "report" / "report.html").read_text()
    assert report.scores.last_columns == ["n"]


def test_votes_are_a_column_a_sentence_a_section_and_a_plot(voted):
    report = write_report([voted])
    assert report.answer[-1].startswith("Preferred by people: fine, ")
    text = (voted / "report" / "report.md").read_text()
    assert re.search(r"^\| fine +\|.*\| +\d\d % +\| +8 +\|$", text, re.M), text
    assert re.search(r"^\| flat +\|.*\| +\| +8 +\|$", text, re.M)
    assert re.search(r"^\| fine +\|.*\| +\d+–\d+ % +\|$", text, re.M), "its interval"
    assert "\n## Votes\n" in text
    assert "LPIPS prefers the image that people prefer in " in text
    assert (voted / "report" / "plots" / "votes.svg").is_file()
    page = (voted / "report" / "report.html").read_text()
    assert re.search(r"<td data-value=\"0\.\d+\">\d\d % <small>\d+–\d+ %</small></td>", page)
    assert '<section id="votes"' in page
    assert [column.header for column in terminal_table(report.scores).columns][-2:] == ["votes", "n"]


def test_later_votes_make_a_report_older_and_equal_votes_equal_bytes(voted):
    write_report([voted])
    before = {
        path: path.read_bytes()
        for path in (voted / "report" / "report.md", voted / "report" / "report.html", voted / "report" / "table.csv")
    }
    write_report([voted])
    assert {path: path.read_bytes() for path in before} == before
    found = verify(voted)
    check_report(voted, found)
    assert not [line for line in found.of("contradicted", "unverified") if re.match("SRB(00|01|11[0-3])", line)]
    more = {"late": ballot(open_candidates(voted, MODELS[:2]), "late")}
    add_votes(RunFolder.read(voted), simulated(more, {"fine": 0.7, "fair": -0.7}, {}, 1))
    found = verify(voted)
    check_report(voted, found)
    assert any(line.startswith("SRB110") for line in found.of("unverified"))
    assert found.holds


def test_changed_votes_are_not_shown_and_no_reason_to_fail(voted):
    (voted / FILE).write_text((voted / FILE).read_text().replace('"choice": "left"', '"choice": "right"', 1))
    report = write_report([voted])
    assert report.scores.votes is None
    assert "Votes are not shown: " in (voted / "report" / "report.md").read_text()
