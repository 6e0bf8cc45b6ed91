"""Summary of a run that a README can carry, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from srbench.pages import markdown
from srbench.reporting.answer import answer
from srbench.reporting.files import FOLDER
from srbench.reporting.measurements import read_runs
from srbench.reporting.notes import notes_of
from srbench.reporting.report import score_table
from srbench.reporting.scores import PROJECTION, Scores, score
from srbench.words import number_of


def readme(run: Path) -> str:
    """The answer, the rows that compete, what they are, the command that made them and where the report is.

    Raises SRBenchError if the folder is no run or has no measured rows.
    """
    measurements = read_runs([run])
    table, protocol = measurements.table(), measurements.protocol
    scores = score(table, table.summary(), measurements.metrics, measurements.models)
    commands = dict.fromkeys(one.command for one in measurements.runs[0].invocations)
    report = run / FOLDER / "report.md"
    images = number_of(len(measurements.images), "image")
    parts = [
        f"### Super-resolution {protocol.scale}x: {images} of {markdown.escape(protocol.dataset)}",
        "\n".join(markdown.escape(sentence) for sentence in answer(scores)),
        score_table(scores, variants=False),
        " ".join(_legend(scores)),
        *(f"> {markdown.escape(note)}" for note in notes_of(measurements, scores)),
        markdown.block("\n".join(commands), "sh"),
        f"Protocol {markdown.code(protocol.suite)}: "
        + ", ".join(markdown.code(metric.signature) for metric in measurements.metrics)
        + ".",
    ]
    if report.is_file():
        parts.append(f"[The whole report]({markdown.link(report)}); `srbench verify` checks it against its images.")
    return "\n\n".join(part for part in parts if part)


def _legend(scores: Scores) -> Iterator[str]:
    yield (
        "↑ higher is better, ↓ lower is better. **Bold**: the best mean, and every row that a paired permutation test "
        "over the images cannot tell from it; <u>underlined</u>: the same among the other rows."
    )
    if scores.variants:
        left_out = number_of(len(scores.variants), "variant is", "variants are")
        yield f"*Italic*: the same among all rows of a model, of which {left_out} left out."
    if scores.has_projected:
        yield PROJECTION
