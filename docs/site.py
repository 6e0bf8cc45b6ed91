"""Hooks of MkDocs: the page of all commands, the committed reports, and what the site has of files outside docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from srbench.cli.main import SECTIONS, main
from srbench.cli.options import LongCommand, records_of
from srbench.pages.markdown import code, escape, table
from srbench.reporting.writers.report import write_report

_ROOT = Path(__file__).parents[1]
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)[^)]*\)")
_PIPES = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add commands.md, contributing.md, the pages of the committed reports, and their strips."""
    files.append(File.generated(config, "commands.md", content=commands_page()))
    contributing = (_ROOT / "CONTRIBUTING.md").read_text().replace("](", "](../").replace("](../docs/", "](")
    files.append(File.generated(config, "contributing.md", content=contributing))
    for run in _ROOT.glob("reports/*"):
        name = f"reports/{run.name}/report/report.html"
        files.append(File.generated(config, name, content=report_page(run)))
        for strip in run.glob("report/strips/*.webp"):
            files.append(File.generated(config, str(strip.relative_to(_ROOT)), abs_src_path=str(strip)))
    return files


@cache  # mkdocs serve builds the site again after every change
def report_page(run: Path) -> str:
    """The page of a committed run, made of its records. It holds the images that the run folder has."""
    with TemporaryDirectory() as folder:
        write_report([run], ["html"], Path(folder) / "report", single_file=True)
        return (Path(folder) / "report" / "report.html").read_text()


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401 - MkDocs' own arguments
    """Links to the report.md and the strips of a committed report lead to its page and strips on the site.

    Of other files outside docs/ the name stays: ``[NOTICE](../NOTICE)`` -> ``NOTICE``, ``[list](../srbench/list.csv)``
    -> ``list (srbench/list.csv)``. Python-Markdown would show the backslash of an escaped ``|`` in code.
    """

    def shown(link: re.Match[str]) -> str:
        text, path = link[1], link[2]
        return text if text.strip("`") in path else f"{text} (`{path}`)"

    reports = markdown.replace("](../reports/", "](reports/").replace("/report/report.md)", "/report/report.html)")
    inside = _OUTSIDE.sub(shown, reports.replace("](../CONTRIBUTING.md)", "](contributing.md)"))
    return _PIPES.sub(lambda code: f"<code>{code[1].replace(chr(92) + '|', '&#124;')}</code>", inside)


def commands_page() -> str:
    """Usage, description and options of every command, as its ``--help`` has them, in the sections of the help."""
    context = click.Context(main, info_name="srbench", **main.context_settings)
    parts = ["# Commands", "`srbench COMMAND --help` prints the same."]
    for title, commands in SECTIONS.items():
        parts.append(f"## {title}")
        parts += (part for name in commands for part in _section(main.commands[name], context))
    return "\n\n".join(parts)


def _section(command: click.Command, parent: click.Context) -> Iterator[str]:
    """Section of a command, then those of the commands in it."""
    context = click.Context(command, parent, info_name=command.name, **command.context_settings)
    path = context.command_path
    yield f"{'#' * (len(path.split()) + 1)} {path}"
    yield from _paragraphs(command.help or "")
    yield f"```text\n{' '.join([path, *command.collect_usage_pieces(context)])}\n```"
    yield from _options(command, context)
    yield from _paragraphs(command.epilog or "")
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _section(child, context)


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of a help text; one that click does not wrap is a block."""
    for paragraph in re.split(r"\n\s*\n", cleandoc(text)):
        mark, _, block = paragraph.partition("\n")
        yield f"```text\n{dedent(block)}\n```" if mark.strip() == "\b" else escape(paragraph)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Tables of the options, in the sections of the help."""
    sections = command.sections(context) if isinstance(command, LongCommand) else {"": records_of(command, context)}
    for title, records in sections.items():
        lines = [[code(names), escape(text)] for names, text in records if text and names != "-h, --help"]
        if lines:
            yield table([title.lower() or "option", ""], lines, texts=2)
