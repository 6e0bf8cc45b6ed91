"""Plots are drawn beside images, though Python 3.11 cannot parse in two threads."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from srbench.reporting.figures import plots
from srbench.reporting.report import write_report


@pytest.fixture
def run(make_run):
    """Two models whose values differ, so that there are plots."""
    images = [f"image {place}" for place in range(8)]
    return make_run(
        "run", {(m, None): {i: (20 + k + n, 0.5 - n / 20) for k, i in enumerate(images)} for n, m in enumerate("ab")}
    )


def test_plots_are_drawn_beside_images(run, monkeypatch):
    images_are_there, seen = threading.Event(), []

    def svg(_):
        seen.append(images_are_there.wait(30))
        return b"<svg/>"

    def images(*_):
        images_are_there.set()
        return []

    monkeypatch.setattr(plots, "svg", svg)
    monkeypatch.setattr("srbench.reporting.report.write_images", images)
    write_report([run])
    assert seen
    assert all(seen)


def test_threads_that_draw_parse_nothing(run, tmp_path):
    """In a process of its own, as matplotlib is loaded once: 3.11 cannot parse in two threads."""
    code = f"""
import ast, threading
from pathlib import Path
from srbench.reporting import report
from srbench.reporting.figures import plots
parse, drawn, done = ast.parse, plots.svg, []
def counted(*given, **more):
    if threading.current_thread() is not threading.main_thread():
        done.append("parsed")
    return parse(*given, **more)
def svg(figure):
    done.append("drawn")
    return drawn(figure)
ast.parse, plots.svg = counted, svg
report.write_report([Path({str(run)!r})], out=Path({str(tmp_path / "report")!r}))
print(*done)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"drawn"}
