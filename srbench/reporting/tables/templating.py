"""Templates of reports and pages: Markdown and LaTeX, where filters escape text from users, and autoescaped HTML."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from srbench.judging.sentences import LETTERS, RULE
from srbench.pages import markdown
from srbench.pages.fragments import hashes
from srbench.plugins.code_digest import package_digest
from srbench.reporting.tables.families import RULE as ONE_ROW
from srbench.reporting.tables.table import header
from srbench.words import number_of, one_line


def _text_table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows of text, the header first, as Markdown."""
    first, *lines = ([*map(markdown.escape, row)] for row in rows)
    return markdown.table(first, lines)


_WORDS: dict[str, dict[str, str]] = {
    "html": {"bold": Markup("<b>Bold</b>"), "less": "<"},
    "md": {"bold": "**Bold**", "less": "<"},
}
"""Arguments of ``sentences.RULE`` by format."""
_FILTERS: dict[str, dict[str, Any]] = {
    "html": {},
    "md": {"escape": markdown.escape, "code": markdown.code, "block": markdown.block, "table": _text_table},
    "tex": {"one_line": one_line},
}
_TEX: Any = {
    "block_start_string": "<%",
    "block_end_string": "%>",
    "variable_start_string": "<<",
    "variable_end_string": ">>",
    "comment_start_string": "<#",
    "comment_end_string": "#>",
}
"""Delimiters of LaTeX templates, in which braces belong to LaTeX."""


def rendered(template: str, **facts: object) -> str:
    """Render a template with ``facts``, our functions and the rules of the table."""
    kind = template.split(".")[1]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("srbench.reporting"),
        autoescape=kind == "html",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        **(_TEX if kind == "tex" else {}),
    )
    environment.filters |= _FILTERS[kind]

    def rule(units: str) -> str:
        return (Markup(RULE) if kind == "html" else RULE).format(**_WORDS[kind], units=units)

    ours = {
        "header": header,
        "image": markdown.image,
        "number_of": number_of,
        "rule": rule,
        "variants_rule": ONE_ROW,
        "letters_rule": LETTERS,
    }
    return environment.get_template(template).render(**ours, **facts)


def source(name: str) -> str:
    """Return the text of a style sheet or script in the templates folder."""
    return (files("srbench.reporting") / "templates" / name).read_text(encoding="utf-8")


@cache
def code_of_report(module: str) -> str:
    """Return the SHA-256 of the code and the templates of a report that a module of this distribution writes."""
    texts = [source(file.name) for file in sorted((files("srbench.reporting") / "templates").iterdir(), key=str)]
    return sha256("\0".join([package_digest(module), *texts]).encode()).hexdigest()


def style_and_script(styles: Sequence[str], scripts: Sequence[str]) -> dict[str, object]:
    """Return ``style`` and ``script`` of a page, joined from files, and its Content Security Policy ``policy``.

    The policy permits this style, this script, and images beside the page or embedded in it.
    """
    style, script = ("\n".join(map(source, names)) for names in (styles, scripts))
    of_style, of_script = hashes(style, script)
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src 'sha256-{of_style}'; "
        f"script-src 'sha256-{of_script}'; base-uri 'none'; form-action 'none'"
    )
    return {"style": Markup(style), "script": Markup(script), "policy": policy}
