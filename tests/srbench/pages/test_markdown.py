from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from srbench.pages import markdown

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "a|b \\| c\\",
    "_x_ __y__ *z* **w** my_model_2",
    "`code` ``more``",
    "[link](http://x.y) ![p](q) <http://x.y>",
    "&amp; &lt; $x^2$ ~~s~~",
    "two\nlines\n# heading",
    "τ 漢字 é",
]


def rendered(text: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)


def shown(html: str) -> str:
    """The text a reader sees."""
    text = re.sub(r"<[^>]*>", "", html)
    for name, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(name, character)
    return text.strip()


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text):
    html = rendered("x " + markdown.escape(text))
    assert shown(html) == "x " + " ".join(text.split())
    assert set(re.findall(r"<(\w+)", html)) == {"p"}
    html = rendered(markdown.table(["model"], [[markdown.escape(text)]]))
    assert set(re.findall(r"<(\w+)", html)) == {"table", "thead", "tbody", "tr", "th", "td"}
    assert shown(re.findall(r"<td>(.*)</td>", html)[0]) == " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_code_and_paths(text):
    line = " ".join(text.split())
    assert shown(rendered(markdown.code(text))) == line
    assert shown(rendered(markdown.block(f"run {text}\n```\nx", "sh"))) == f"run {text}\n```\nx"
    html = rendered(markdown.image(text, "strips", f"{line}.png"))
    assert set(re.findall(r"<(\w+)", html)) == {"p", "img"}
    assert re.search(r'src="(strips/[A-Za-z0-9_.~%-]+\.png)"', html)


def test_a_plain_name_is_left_alone():
    assert markdown.escape("srflow-t0.8 my_model+x (2)") == "srflow-t0.8 my_model+x (2)"


def test_a_table_is_aligned_as_plain_text():
    assert markdown.table(["model", "PSNR"], [["a", "22.1"], ["longer", "**9.5**"]]) == (
        "| model  |    PSNR |\n| ------ | ------: |\n| a      |    22.1 |\n| longer | **9.5** |"
    )
