"""Plots are drawn beside images, though Python 3.11 may not parse in two threads."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from srbench.reporting.report import write_report


@pytest.fixture
def run(make_run):
    """Of two models whose values differ, so that there are plots."""
    images = [f"image {place}" for place in range(8)]
    return make_run(
        "run", {(m, None): {i: (20 + k + n, 0.5 - n / 20) for k, i in enumerate(images)} for n, m in enumerate("ab")}
    )


@pytest.mark.parametrize("at_once", [True, False])
def test_where_threads_may_not_parse_plots_do_so_before_images(run, monkeypatch, at_once):
    images_are_there, seen = threading.Event(), []

    def plots(*given):
        *_, parsed = given
        seen.append(images_are_there.wait(30 if at_once else 0.2))
        parsed()
        seen.append(images_are_there.wait(30))  # what is drawn is drawn beside them
        return []

    def images(*_):
        images_are_there.set()
        return []

    for name, value in (("THREADS_MAY_PARSE", at_once), ("write_plots", plots), ("write_images", images)):
        monkeypatch.setattr(f"srbench.reporting.report.{name}", value)
    write_report([run])
    assert seen == [at_once, True]


def test_plots_parse_nothing_once_they_have_said_so(run, tmp_path):
    """In a process of its own, as matplotlib is loaded once: 3.11 may not parse in two threads."""
    code = f"""
import ast, sys
from pathlib import Path
from srbench.reporting import plots, report
parse, drawn, done = ast.parse, plots.svg, []
def counted(*given, **more):
    done.append("parsed")
    return parse(*given, **more)
def svg(figure):
    done.append("drawn")
    return drawn(figure)
ast.parse, plots.svg = counted, svg
write = report.write_plots
report.write_plots = lambda *given: write(*given[:-1], lambda: done.append("said"))
report.write_images = lambda *given: []
report.write_report([Path({str(run)!r})], out=Path({str(tmp_path / "report")!r}))
print(*done[done.index("said"):])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"said", "drawn"}
