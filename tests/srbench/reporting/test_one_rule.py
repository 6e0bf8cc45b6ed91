"""``report A B`` and ``report DIR`` over the same two runs:
one verdict on whether they share a table, and the same cells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import metric

from srbench.reporting import ReportError
from srbench.reporting.results import read_results
from srbench.reporting.tables.table import table_of_runs
from srbench.reporting.writers.leaderboard import read_leaderboard

NAMES = [f"i{number}" for number in range(8)]
PSNR, LPIPS = metric("psnr"), metric("lpips")


def run(factor=1.0, samples=2, shift=0.0, names=NAMES, signature=LPIPS.signature, **changes):
    """The arguments of a run of a model with one output and of a model that samples."""
    spread = metric("spread", title="Spread", signature=f"SPREAD|v1|n{samples}")
    values = {
        (label, temperature): {
            name: {
                "psnr": [(level + place % 3 + number / 7) * factor for number in range(count)],
                "lpips": [0.4 * factor] * count,
                "spread": float(count),
            }
            for place, name in enumerate(names)
        }
        for label, temperature, level, count in (("plain", None, 22.0, 1), ("flow", 0.8, 20.0 + shift, samples))
    }
    metrics = (PSNR, replace(LPIPS, signature=signature), spread)
    protocol = {"samples": samples} | changes.pop("protocol", {})
    return {"values": values, "metrics": metrics, "protocol": protocol} | changes


JOINED, FLOW_TWICE, ALL_TWICE = (
    ["plain", "flow τ=0.8"],
    ["plain", "flow @ A τ=0.8", "flow @ B τ=0.8"],
    ["plain @ A", "flow @ A τ=0.8", "plain @ B", "flow @ B τ=0.8"],
)
NEW_CODE = {label: {"digest": f"new {label}"} for label in ("plain", "flow")}
OTHERS = {
    "the same again": (run(), JOINED),
    "another machine": (run(1 + 1e-7), JOINED),
    "values that differ": (run(1.01), ALL_TWICE),
    "5 and 10 samples": (run(samples=10), FLOW_TWICE),
    "another seed": (run(shift=0.1, protocol={"seed": 1}), FLOW_TWICE),
    "another signature": (run(signature="LPIPS|vgg"), JOINED),
    "changed code, equal pixels": (run(models=NEW_CODE), JOINED),
    "another name of the dataset": (run(protocol={"dataset": "e", "lr": "read from files"}), JOINED),
    "two datasets": (run(names=[f"j{number}" for number in range(8)]), "images: i0, i1, i2 against j0, j1, j2"),
    "fewer images": (run(names=NAMES[:7]), "images: i7 against nothing"),
    "other pixels": ("greys", "the HR images named i0 differ"),
    "another scale": (run(protocol={"scale": 8}), "scale: 4 against 8"),
    "a crop": (run(protocol={"crop": 96}), "crop: None against 96"),
    "tiles": (run(protocol={"tile": 64}), "tile: None against 64"),
    "another protocol": (run(protocol={"suite": "classic-y@1"}), "protocol: srflow@1 against classic-y@1"),
}


def cells_of(table):
    """Text and mark of every cell, by label and column."""
    return {
        line.label: {
            column.title: (cell.text, cell.is_best)
            for column, cell in zip(table.columns, table.cells(line), strict=True)
        }
        for line in table.lines
    }


@pytest.mark.parametrize("case", OTHERS)
def test_two_runs_share_a_table_in_both_reports_or_in_none(make_run, greys, tmp_path, case):
    other, expected = OTHERS[case]
    first = run(samples=5) if case == "5 and 10 samples" else run()
    folders = [
        make_run(f"x/{name}", **given)
        for name, given in {"A": first, "B": run(greys=greys(hr=0)) if other == "greys" else other}.items()
    ]
    blocks = read_leaderboard([tmp_path / "x"]).blocks
    if isinstance(expected, str):
        with pytest.raises(ReportError, match=f"cannot share a table: {expected}; report each by itself"):
            read_results(folders)
        assert [
            [run.name for run in block.results.runs]
            for block in sorted(blocks, key=lambda block: block.results.runs[0].name)
        ] == [["A"], ["B"]]
        return
    results = read_results(folders)
    [block] = blocks
    assert sorted(line.label for line in block.table.lines) == sorted(expected)
    assert cells_of(block.table) == cells_of(table_of_runs(results, best_first=True))
    names = {line.label: [run.name for run in block.runs(line)] for line in block.table.lines}
    assert names == {setting.label: [run.name for run in runs] for setting, runs in results.by_setting.items()}
    assert ("–" in str(cells_of(block.table))) == (case == "5 and 10 samples")
