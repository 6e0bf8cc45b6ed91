"""Templates of reports and pages: Markdown and LaTeX, in which filters escape the names of users, and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from srbench.pages import markdown
from srbench.pages.fragments import hashes
from srbench.reporting.families import VARIANTS
from srbench.reporting.ranking import RULE
from srbench.reporting.scores import HTML, PROJECTION, header
from srbench.words import number_of, one_line

_WORDS: dict[str, dict[str, str]] = {
    "html": {
        "best": Markup("<b>Bold</b>"),
        "second": Markup("<u>underlined</u>"),
        "own": Markup("<i>italic</i>"),
        "less": "<",
        "compare": Markup("<code>srbench compare</code>"),
    },
    "md": {
        "best": "**Bold**",
        "second": "<u>underlined</u>",
        "own": "*italic*",
        "less": "<",
        "compare": "`srbench compare`",
    },
    "tex": {
        "best": r"\textbf{Bold}",
        "second": r"\underline{underlined}",
        "own": r"\textit{italic}",
        "less": "$<$",
        "compare": r"\texttt{srbench compare}",
    },
}
"""Names of the marks in the rules."""
_FILTERS: dict[str, dict[str, Any]] = {
    "html": {"marked": lambda text, mark: Markup(HTML[mark]).format(text)},
    "md": {"escape": markdown.escape, "code": markdown.code, "block": markdown.block},
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
"""Marks of a LaTeX template, where braces are LaTeX."""


def rendered(template: str, **facts: object) -> str:
    """Text of a template with some facts, ``header``, the rules of significance and the legend of ‡."""
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
    rules = [Markup(rule) if kind == "html" else rule for rule in (RULE, VARIANTS)]
    rule, variants = (rule.format(**_WORDS[kind]) for rule in rules)
    ours = {
        "header": header,
        "image": markdown.image,
        "number_of": number_of,
        "rule": rule,
        "variants_rule": variants,
        "projection": PROJECTION,
    }
    return environment.get_template(template).render(**ours, **facts)


def source(name: str) -> str:
    """Text of a style or a script among the templates."""
    return (files("srbench.reporting") / "templates" / name).read_text(encoding="utf-8")


def style_and_script(styles: Sequence[str], scripts: Sequence[str]) -> dict[str, object]:
    """``style`` and ``script`` of a page from files among the templates, and the ``hashes`` that its policy states."""
    style, script = ("\n".join(map(source, names)) for names in (styles, scripts))
    return {"style": Markup(style), "script": Markup(script), "hashes": hashes(style, script)}
