"""People's votes in a report: a sentence of the summary, and a section with two tables and remarks."""

from __future__ import annotations

from srbench.interfaces import SRBenchError
from srbench.reporting.results import Results
from srbench.reporting.sections import Section
from srbench.voting.records import read_votes
from srbench.voting.tally import tally
from srbench.voting.words import CAPTION, agreement_table, remarks, sentence, strength_table


def vote_section(results: Results) -> tuple[Section | None, list[str]]:
    """Return the section on the votes of a report's single run, and notes on votes that cannot be shown.

    The section is None without votes, and in a report of several runs.
    """
    if len(results.runs) > 1:
        return None, []
    path = results.runs[0].folder.path
    try:
        if not read_votes(path):
            return None, []
        result = tally(path)
    except SRBenchError as error:
        return None, [f"Votes are not shown: {error}"]
    tables = strength_table(result), agreement_table(result)
    said = remarks(result)
    return Section("votes", "Votes", CAPTION, tables=tables, remarks=said, summary=[sentence(result)]), []
