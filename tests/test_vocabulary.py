"""The field's words, as CONTRIBUTING lists them; and docstrings that stand alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("srbench", "srflow", "baselines")
PAPERS = [ROOT / "README.md", ROOT / "mkdocs.yml", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [path for end in ("jinja", "html", "js") for path in sorted((ROOT / "srbench").rglob(f"*.{end}"))]
SOURCES = [path for one in (*PACKAGES, "examples") for path in sorted((ROOT / one).rglob("*.py"))]
PRESETS = [path for one in PACKAGES for path in sorted((ROOT / one).rglob("*.toml"))]
NAMES = re.compile(r"picture-0b-by-freespace")
"""Names of files, which are what they are."""


def banned() -> dict[str, str]:
    """Every word of the list in CONTRIBUTING that is not used, and the word that is."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("### Vocabulary")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    return {word.strip(): used for used, words in rows[1:] for word in words.split(",")}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file; of Python, the strings in it, which are docstrings, messages and help."""
    content = path.read_text()
    if path.suffix != ".py":
        yield from enumerate(content.splitlines(), 1)
        return
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def found(word: str, text: str) -> bool:
    return re.search(rf"\b{word}\b", NAMES.sub("", text), re.IGNORECASE) is not None


def test_the_list():
    words = banned()
    assert len(words) >= 15
    assert words["picture"] == "image"
    assert found("picture", "Two pictures.") is False
    assert found("pictures?", "Two pictures.")
    assert not found("pictures?", "picture-0b-by-freespace")


@pytest.mark.parametrize("path", [*PAPERS, *PAGES, *SOURCES, *PRESETS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_banned_word(path):
    words = banned()
    faults = [f"{line}: {word} -> {words[word]}" for line, text in texts(path) for word in words if found(word, text)]
    assert not faults, "\n".join(faults)


ANSWERS = re.compile(r"(Of|By|In which|Where|Those|That|Such|What|How|Who|Whether|Is|Are|Does|Did|Has|Was)\b")
"""Beginnings of answers to a question that is not printed, and of questions."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings of a module, its classes and functions, and its attributes, with their lines."""
    bodies = [getattr(node, "body", None) for node in ast.walk(ast.parse(path.read_text()))]
    for statement in (one for body in bodies if isinstance(body, list) for one in body):
        value = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield statement.lineno, value.value


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_docstrings_begin_with_a_noun_or_a_verb(path):
    faults = [f"{line}: {text.splitlines()[0]}" for line, text in docstrings(path) if ANSWERS.match(text)]
    assert not faults, "\n".join(faults)
