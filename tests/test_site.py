"""The documentation site: it builds without a warning, and every link inside it leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("material", reason="the site needs the extra docs: pip install -e '.[docs]'")
pytest.importorskip("mkdocstrings", reason="the site needs the extra docs: pip install -e '.[docs]'")

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


def test_no_page_loads_anything_from_another_server(site):
    for page in site.rglob("*.html"):
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//[^"]+"', page.read_text()), page
