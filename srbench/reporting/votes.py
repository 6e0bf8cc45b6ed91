"""People's votes in a report: a sentence of the summary, and a section with two tables and remarks."""

from __future__ import annotations

from dataclasses import dataclass

from srbench.interfaces import SRBenchError
from srbench.pages import markdown
from srbench.reporting.results import Results
from srbench.voting.records import read_votes
from srbench.voting.tally import tally
from srbench.voting.words import CAPTION, agreement_table, remarks, sentence, strength_table


@dataclass(frozen=True)
class VoteSection:
    """The section of a report on the votes of its run."""

    sentence: str
    caption: str
    tables: tuple[list[list[str]], ...]
    """Strengths of models, and agreement of metrics: rows of text, the header first."""
    remarks: list[str]

    @property
    def markdown_tables(self) -> list[str]:
        """The tables in Markdown."""
        return [
            markdown.table(rows[0], [[markdown.escape(row[0]), *row[1:]] for row in rows[1:]]) for rows in self.tables
        ]


def vote_section(results: Results) -> tuple[VoteSection | None, list[str]]:
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
    return VoteSection(sentence(result), CAPTION, tables, remarks(result)), []
