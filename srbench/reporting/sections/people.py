"""People in a report: a sentence of the summary on votes, and a section on votes,
ratings and the metrics that agree.
"""

from __future__ import annotations

from srbench.interfaces import SRBenchError
from srbench.reporting.results import Runs
from srbench.reporting.sections.section import Section
from srbench.reporting.tables.table import Table
from srbench.voting.agreement import Agreements, agreements_with_ratings
from srbench.voting.records import read_votes
from srbench.voting.tally import Tally, tally
from srbench.voting.words import AGREEMENT, CAPTION, agreement_table, agreement_words, remarks, sentence, strength_table


def people_section(results: Runs, table: Table) -> tuple[Section | None, list[str]]:
    """Return the section on votes of a report's single run and on columns of ratings, and notes on what cannot be
    shown.

    The section is None without votes and ratings.
    """
    votes, notes = None, []
    try:
        votes = votes_of(results)
    except SRBenchError as error:
        notes.append(f"Votes are not shown: {error}")
    compared = agreements_of(table, votes)
    if votes is None and not compared:
        return None, notes
    return Section(
        "people",
        "People",
        " ".join([*([CAPTION] if votes else []), *([AGREEMENT] if compared else [])]),
        sentences=[*filter(None, map(agreement_words, compared))],
        tables=[*([strength_table(votes)] if votes else []), *map(agreement_table, compared)],
        remarks=remarks(votes) if votes else (),
        summary=[sentence(votes)] if votes else (),
    ), notes


def votes_of(results: Runs) -> Tally | None:
    """Count the votes of a single run; None without votes. Raises SRBenchError."""
    path = results.runs[0].folder.path
    return tally(path) if len(results.runs) == 1 and read_votes(path) else None


def agreements_of(table: Table, votes: Tally | None) -> list[Agreements]:
    """Return the agreement of metrics with votes, and with each column of ratings."""
    metrics = [metric for metric in table.columns if not metric.by_row]
    ratings = [metric for metric in table.columns if metric.by_row]
    compared = [votes.agreements] if votes else []
    compared += [agreements_with_ratings(table.values, column, metrics) for column in ratings]
    return [each for each in compared if each.rows]
