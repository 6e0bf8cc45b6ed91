"""Hooks of MkDocs: the page of all commands, and what the site has of files outside docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from srbench.cli.main import SECTIONS, main
from srbench.pages.markdown import code, escape, table

_ROOT = Path(__file__).parents[1]
_STRIP = "reports/photos-x8/report/strips/books.png"
"""Image of the first page."""
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add commands.md, and the strip of a report."""
    files.append(File.generated(config, "commands.md", content=commands_page()))
    files.append(File.generated(config, _STRIP, abs_src_path=str(_ROOT / _STRIP)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401 - MkDocs' own arguments
    """``[NOTICE](../NOTICE)`` -> ``NOTICE``, ``[list](../srbench/list.csv)`` -> ``list (srbench/list.csv)``."""

    def shown(link: re.Match[str]) -> str:
        text, path = link[1], link[2]
        return text if text.strip("`") in path else f"{text} (`{path}`)"

    return _OUTSIDE.sub(shown, markdown.replace(f"](../{_STRIP})", f"]({_STRIP})"))


def commands_page() -> str:
    """Usage, description and options of every command, as its ``--help`` has them, in the sections of the help."""
    context = click.Context(main, info_name="srbench", **main.context_settings)
    parts = ["# Commands", "`srbench COMMAND --help` prints the same."]
    for title, commands in SECTIONS.items():
        parts.append(f"## {title}")
        parts += (part for command in commands for part in _section(command, context))
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
    records = [one.get_help_record(context) for one in command.get_params(context)]
    lines = [[code(names), escape(text)] for names, text in filter(None, records) if text and names != "-h, --help"]
    if lines:
        yield table(["option", ""], lines, texts=2)
