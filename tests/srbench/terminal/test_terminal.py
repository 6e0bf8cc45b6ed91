import io
import re

import pytest
from rich.console import Console
from rich.table import Table

from srbench.terminal import output as console


def test_a_long_line_is_not_wrapped(capsys):
    text = " ".join(["[bold]x[/bold]", "net.py:B:net.pth"] * 100)
    console.say(text)
    console.show(text)
    assert capsys.readouterr() == (text + "\n", text + "\n")


def test_a_table_in_a_pipe_is_as_wide_as_it_needs_to_be(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    table = Table("model", *(f"metric {i}" for i in range(30)))
    table.add_row("m" * 40, *map(str, range(30)))
    console.show(table)
    out = capsys.readouterr().out
    assert "m" * 40 in out
    assert "metric 29" in out


def test_durations_have_units():
    named = {0: "0 s", 59.4: "59 s", 60: "1 min", 200: "3 min 20 s", 3599: "59 min", 7500: "2 h 5 min"}
    assert {seconds: console.duration(seconds) for seconds in named} == named


@pytest.mark.parametrize("width", [80, 60, 20])
def test_a_table_wider_than_the_terminal_loses_no_column(width):
    headers = ["model", *(f"metric {place}" for place in range(12))]
    table = Table(*headers, title="all", caption="end")
    table.columns[1].no_wrap = True
    table.add_row("srflow with a label that is longer than half of a terminal", *(f"{place}.25" for place in range(12)))
    screen = Console(width=width, file=io.StringIO())
    parts = console._parts(table, width)
    for part in parts:
        screen.print(part)
    text = screen.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert [part.columns[0].header for part in parts] == ["model"] * len(parts)
    assert [column.header for part in parts for column in part.columns[1:]] == headers[1:]
    assert all(re.search(rf"\b{place}\.25\b", text) for place in range(12))
    assert (text.count("all"), text.count("end")) == (1, 1)


def test_a_table_that_fits_stays_one():
    table = Table("model", "PSNR")
    table.add_row("bicubic", "20.1")
    assert [len(part.columns) for part in console._parts(table, 80)] == [2]
