"""Consistency of outputs projected onto LR says nothing about the model: it is shown, and never compared."""

from __future__ import annotations

import pytest
from builders import metric

from srbench.reporting.results import read_results
from srbench.reporting.tables.summary import summary
from srbench.reporting.tables.table import table_of_runs
from srbench.reporting.writers.compare import compare_models

NAMES = [f"image {k}" for k in range(8)]
LEVELS = {"bicubic": 36.0, "rrdb": 42.0, "esrgan+consistent": 51.19, "srflow": 51.3}
METRICS = metric("lpips"), metric("lr_psnr")
NOTE = "LR-PSNR of esrgan+consistent and srflow measures the projection onto LR, not the network: not compared."


@pytest.fixture
def run_of(make_run):
    """run_of("rrdb", "srflow"): a run of these models in which the one
    with the highest LR-PSNR has the highest LPIPS."""

    def call(*labels, metrics=METRICS):
        rows = {
            (label, None): {
                name: {one.name: [LEVELS[label] / (100 if one.name == "lpips" else 1) + 0.001 * k] for one in metrics}
                for k, name in enumerate(NAMES)
            }
            for label in labels
        }
        projected = {"esrgan+consistent", "srflow"} & set(labels)
        return make_run("x/run", rows, metrics=metrics, models={label: {"projected": True} for label in projected})

    return call


@pytest.mark.parametrize(
    ("labels", "bold"),
    [
        (["bicubic", "rrdb", "esrgan+consistent", "srflow"], ["rrdb"]),
        (["rrdb", "srflow"], []),
        (["esrgan+consistent", "srflow"], []),
        (["bicubic", "rrdb"], ["rrdb"]),
    ],
)
def test_no_projected_row_is_bold_or_tested_in_lr_psnr(run_of, labels, bold):
    table = table_of_runs(read_results([run_of(*labels)]))
    cells = {line.label: line.cells for line in table.lines}
    assert [label for label in labels if cells[label]["lr_psnr"].is_best] == bold
    assert [label for label in labels if cells[label]["lpips"].is_best] == [min(labels, key=LEVELS.__getitem__)]
    assert {table.lines[row].label for row in table.best["lr_psnr"].means} <= {"bicubic", "rrdb"}
    assert cells[labels[-1]]["lr_psnr"].text == f"{LEVELS[labels[-1]] + 0.0035:.2f}", "the value is shown"


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (
            ["bicubic", "rrdb", "srflow"],
            "Highest LR-PSNR, without srflow, projected onto LR: rrdb at 42.00 dB, ahead of bicubic (36.00 dB, p = "
            "0.008).",
        ),
        (
            ["rrdb", "srflow"],
            "Highest LR-PSNR, without srflow, projected onto LR: rrdb at 42.00 dB; no other model is compared.",
        ),
        (
            ["esrgan+consistent", "srflow"],
            "Highest LR-PSNR, without esrgan+consistent and srflow, projected onto LR: undecided, as no other model "
            "is measured.",
        ),
    ],
)
def test_the_answer_leaves_them_out(run_of, labels, says):
    assert summary(table_of_runs(read_results([run_of(*labels, metrics=METRICS[1:])]))) == [says]


def test_both_kinds_of_report_say_so(run_of, command):
    run = run_of(*LEVELS)
    for folder in (run, run.parent):
        assert command("report", folder, "--format", "md").code == 0
        assert NOTE in (folder / "report" / "report.md").read_text()


def test_compare_gives_no_verdict(run_of, srbench):
    """In LR-PSNR, if an output is projected; the gate still guards what its user names."""
    run = run_of(*LEVELS)
    results = read_results([run])
    comparison = compare_models(results, "srflow", "rrdb")
    assert comparison.sentence == ("rrdb is better in LPIPS. No verdict in LR-PSNR, as outputs are projected onto LR.")
    lpips, lr_psnr = comparison.differences
    assert (lpips.better, lr_psnr.better, comparison.verdict(lr_psnr)) == (-1, 0, "")
    assert compare_models(results, "rrdb", "bicubic").differences[1].better == 1
    assert srbench("compare", "srflow", "rrdb", "--run", run, "--fail-if-worse", "lr_psnr").exit_code == 1
