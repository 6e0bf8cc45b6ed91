"""LR-PSNR that projection fixes, marked in every format."""

from __future__ import annotations

import pytest
from builders import metric

from srbench.reporting.report import write_report
from srbench.reporting.scores import PROJECTION

METRICS = metric("psnr"), metric("sigma"), metric("lr_psnr")
VALUES = {"psnr": [24.0, 25.0], "sigma": 3.0, "lr_psnr": [50.0, 50.0]}


@pytest.fixture(params=[False, True], ids=["free", "projected"])
def files(request, make_run):
    """Texts of the report of two models, of which one may be projected, by file name; and whether it is."""
    rows = {
        ("m", None): {"a": VALUES | {"sigma": 0.0}, "b": VALUES | {"sigma": 0.0}},
        ("flow", 0.8): {"a": VALUES, "b": VALUES},
    }
    run = make_run("run", rows, metrics=METRICS, models={"flow": {"projected": request.param}})
    write_report([run])
    names = ("report.md", "report.html", "table.tex", "table.csv")
    return {name: (run / "report" / name).read_text() for name in names}, request.param


def test_the_mark_and_its_legend_stand_in_every_table(files):
    texts, is_projected = files
    by_file = {
        "report.md": ("50.00‡", f" {PROJECTION}\n"),
        "report.html": ("50.00<sup>‡</sup>", PROJECTION),
        "table.tex": (r"50.00$^\ddagger$ &", r" $^\ddagger$ The outputs are projected"),
    }
    for name, (cell, legend) in by_file.items():
        assert texts[name].count(cell) == is_projected, "of one of two rows"
        assert (legend in texts[name]) == is_projected
    assert "‡" not in texts["table.csv"]


def test_the_answer_says_how_lr_is_kept(files):
    texts, is_projected = files
    by = " by projection" if is_projected else ""
    for name in ("report.md", "report.html"):
        assert (
            f"Only flow is diverse; it keeps the LR image{by} (LR-PSNR at least 50.00 dB in every sample" in texts[name]
        )
