"""The documentation site: it builds without a warning, and every link inside it leads somewhere."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

import srbench
from srbench.cli.main import main

pytest.importorskip("material", reason="the site needs the extra docs: pip install -e '.[docs]'")
pytest.importorskip("mkdocstrings", reason="the site needs the extra docs: pip install -e '.[docs]'")

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.name for path in site.iterdir() if (path / "index.html").is_file()} >= pages - {"index"}


@pytest.mark.parametrize("run", [path.name for path in (ROOT / "reports").iterdir()])
def test_the_committed_reports_are_pages_with_the_same_numbers(site, run):
    place = f"reports/{run}/report"
    page = (site / place / "report.html").read_text()
    assert f'href="{place}/report.html"' in (site / "index.html").read_text()
    assert "The run folder holds no images" in page or "data:image/" in page
    table = (ROOT / place / "report.md").read_text().partition("| model ")[2].partition("\n\n")[0]
    numbers = re.findall(r"\| +(?:\*\*)?(\d+\.\d+)", table)
    assert len(numbers) > 30
    assert not [number for number in numbers if f">{number}<" not in page and f"{number} <small>" not in page]


def test_links_and_images_lead_somewhere(site):
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
            if not re.match(r"[a-z]+:|//", target):
                found = page.parent / unquote(target)
                assert (found / "index.html").is_file() or found.is_file(), f"{page.relative_to(site)}: {target}"


def test_the_reference_is_made_of_docstrings(site):
    text = (site / "api" / "index.html").read_text()
    assert all(f'id="{name}"' in text for name in ("srbench.evaluate", "srbench.metrics.lpips", "srflow.SRFlow"))


def test_every_command_and_option_has_its_place(site):
    text = unescape((site / "commands" / "index.html").read_text())
    commands = [*commands_of(main, "srbench")]
    assert len(commands) >= 25
    for name, command in commands:
        assert f'id="{name.replace(" ", "-")}"' in text, name
        options = [one.opts[0] for one in command.params if isinstance(one, click.Option) and not one.hidden]
        assert not [option for option in options if option not in text], name


def commands_of(group, path):
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{path} {name}")


def test_the_reference_has_tables_of_parameters_and_examples(site):
    text = (site / "api" / "index.html").read_text()
    evaluate = text.partition('id="srbench.evaluate"')[2].partition('id="srbench.Results"')[0]
    rows = re.findall(r"<tr[^>]*>\s*<td>\s*<code>(\w+)</code>", evaluate)
    assert rows == [*inspect.signature(srbench.evaluate).parameters]
    assert "&gt;&gt;&gt;" in evaluate
    assert "s*h, s*w" in evaluate
    for page in site.rglob("*.html"):
        assert "<blockquote>\n<blockquote>" not in page.read_text(), page


def test_signatures_in_tables_have_no_backslash(site):
    text = unescape((site / "protocols" / "index.html").read_text())
    assert "<code>RGB|floor|crop0|v1</code>" in text


def test_no_page_loads_anything_from_another_server(site):
    for page in site.rglob("*.html"):
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//[^"]+"', page.read_text()), page


def test_the_first_page_begins_as_the_readme():
    [first] = re.findall(r"^pip install \. && .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert first in (ROOT / "docs" / "index.md").read_text().splitlines()
