"""Markdown summary of a run for a README."""

from __future__ import annotations

from pathlib import Path

from srbench.pages import markdown
from srbench.reporting.answer import answer
from srbench.reporting.files import FOLDER
from srbench.reporting.measurements import read_runs
from srbench.reporting.notes import notes_of
from srbench.reporting.ranking import RULE
from srbench.reporting.scores import markdown_table, scores_of
from srbench.words import number_of


def readme(run: Path) -> str:
    """Return the answer, the table with one row per model, the notes, the commands and a link to the report.

    Raises SRBenchError if the folder is no run or has no results.
    """
    measurements = read_runs([run])
    scores = scores_of(measurements)
    protocol = measurements.protocol
    commands = dict.fromkeys(invocation.command for invocation in measurements.runs[0].invocations)
    report = run / FOLDER / "report.md"
    images = number_of(len(measurements.images), "image")
    parts = [
        f"### Super-resolution {protocol.scale}x: {images} of {markdown.escape(protocol.dataset)}",
        "\n".join(f"- {markdown.escape(sentence)}" for sentence in answer(scores)),
        markdown_table(scores, scores.competing),
        f"↑ higher is better, ↓ lower is better. {RULE.format(bold='**Bold**', less='<')}",
        *(f"> {markdown.escape(note)}" for note in notes_of(measurements, scores)),
        markdown.block("\n".join(commands), "sh"),
        f"Protocol {markdown.code(protocol.suite)}: "
        + ", ".join(markdown.code(metric.signature) for metric in scores.columns)
        + ".",
    ]
    if report.is_file():
        parts.append(f"[The whole report]({markdown.link(report)}); `srbench verify` checks it against its images.")
    return "\n\n".join(part for part in parts if part)
