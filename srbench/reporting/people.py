"""People in a report: a sentence of the summary on votes, and a section on votes, ratings and the metrics that agree."""

from __future__ import annotations

from dataclasses import dataclass, field

from srbench.interfaces import SRBenchError
from srbench.judging.sentences import agreement_sentence
from srbench.pages import markdown
from srbench.reporting.results import Results
from srbench.reporting.table import Table
from srbench.voting.agreement import Agreements, agreements_with_ratings
from srbench.voting.records import read_votes
from srbench.voting.tally import tally
from srbench.voting.words import AGREEMENT, CAPTION, agreement_table, remarks, sentence, strength_table


@dataclass
class PeopleSection:
    """The section of a report on what people say of its outputs."""

    sentence: str = ""
    """Result of the votes; empty without votes."""
    sentences: list[str] = field(default_factory=list)
    """Which metrics agree best with people."""
    agreements: dict[str, Agreements] = field(default_factory=dict)
    """Agreement of metrics with ``votes``, and with each column of ratings by its title."""
    tables: list[list[list[str]]] = field(default_factory=list)
    """Strengths of models, and agreement of metrics: rows of text, the header first."""
    captions: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def markdown_tables(self) -> list[str]:
        """The tables in Markdown."""
        return [
            markdown.table(rows[0], [[markdown.escape(row[0]), *row[1:]] for row in rows[1:]]) for rows in self.tables
        ]

    def add(self, agreements: Agreements, people: str, correlation: str) -> None:
        """Add the agreement of metrics with ``people``."""
        if agreements.rows:
            self.agreements[people] = agreements
            titles = [row.metric.title for row in agreements.rows]
            self.sentences += filter(None, [agreement_sentence(agreements.best, titles, people)])
            self.tables.append(agreement_table(agreements, people, correlation))


def people_section(results: Results, table: Table) -> tuple[PeopleSection | None, list[str]]:
    """Return the section on votes of a report's single run and on columns of ratings, and notes on what cannot be shown.

    The section is None without votes and ratings.
    """
    section, notes = PeopleSection(), []
    path = results.runs[0].folder.path
    try:
        if len(results.runs) == 1 and read_votes(path):
            result = tally(path)
            section.sentence, section.remarks = sentence(result), remarks(result)
            section.captions.append(CAPTION)
            section.tables.append(strength_table(result))
            section.add(result.agreements, "votes", "Kendall's τ")
    except SRBenchError as error:
        notes.append(f"Votes are not shown: {error}")
    metrics = [metric for metric in table.columns if not metric.by_row]
    for ratings in (metric for metric in table.columns if metric.by_row):
        section.add(agreements_with_ratings(table.values, ratings, metrics), ratings.title, "Spearman's ρ")
    if section.agreements:
        section.captions.append(AGREEMENT)
    return section if section.tables else None, notes
