"""Report, page, LaTeX, terminal, compare and Results say the same of random runs of models at several temperatures."""

from __future__ import annotations

import math
import os
import re
from itertools import combinations

import numpy as np

from srbench.api import Results
from srbench.reporting.compare import compare_models, write_comparison
from srbench.reporting.report import write_report

RUNS = int(os.environ.get("RUNS", "25"))
TAGS = {"best": "b", "second": "u", "own": "i"}
TERMS = {"models": "all pairs of competing rows", "variants": "of rows of one model", "others": "one of them a variant"}


def test_all_formats_compare_and_results_agree(make_run, monkeypatch):
    """Every mark in every format, and three verdicts of each run, against the one ranking."""
    monkeypatch.setattr("srbench.reporting.report.write_plots", lambda *_: [])
    random, decided, kinds = np.random.default_rng(5), 0, set()
    for number in range(RUNS):
        run = make_run(f"run{number}", _values(random))
        scores = write_report([run]).scores
        marks = {
            line.label: [{TAGS[word] for word in cell.mark.split()} for cell in line.cells.values()]
            for line in (*scores.competing, *scores.variants)
        }
        for read in (_markdown, _html, _latex):
            assert list(read(run).items()) == list(marks.items()), read.__name__
        assert not any("b" in cell or "u" in cell for line in scores.variants for cell in marks[line.label])
        pairs = list(combinations(range(len(scores.lines)), 2))
        for a, b in (pairs[place] for place in random.integers(0, len(pairs), 3)):
            names = [scores.lines[row].setting.folder for row in (a, b)]
            comparison, table = compare_models(run, *names), Results(run, []).compare(*names)
            assert comparison.family == scores.families.of(a, b)
            kinds.add(comparison.family)
            for found in comparison.differences:
                ranking = scores.rankings[found.metric.name]
                assert (found.better, found.p_holm) == (ranking.better[a, b], ranking.p_holm[a, b])
                assert table.loc[found.metric.name, "verdict"] == comparison.verdict(found)
                decided += found.better != 0
    assert decided > RUNS / 2
    assert kinds == set(TERMS)


def test_compare_says_for_which_pairs_it_corrects(make_run):
    run = make_run("run", _values(np.random.default_rng(0), ["m", "x", "x+consistent"], (0.5, 0.8)))
    pairs = {"models": ("m", "x-t0.8"), "variants": ("x-t0.8", "x-t0.5"), "others": ("m", "x+consistent-t0.8")}
    for kind, names in pairs.items():
        text = write_comparison(compare_models(run, *names)).read_text()
        assert [name for name, words in TERMS.items() if words in " ".join(text.split())] == [kind]


def _values(random, labels=None, temperatures=None):
    """PSNR and LPIPS of up to four models; some sample at up to three temperatures, some are projected as well."""
    n = int(random.integers(1, 13))
    labels = labels or [f"m{k}" for k in range(random.integers(2, 4))]
    rows = []
    for label in labels:
        heats = temperatures or random.permutation([0.5, 0.7, 0.8, 0.9])[: random.integers(0, 4)].tolist()
        heats = [] if label == "m" else sorted(heats)
        rows += [(label, heat) for heat in heats or [None]]
        if temperatures is None and random.random() < 0.4:
            rows += [(f"{label}+consistent", heat) for heat in heats or [None]]
    ease, gaps = random.normal(25, 4, n), random.normal(0, 0.6, len(rows))
    return {
        row: {str(k): (float(ease[k] + gap + random.normal(0, 0.4)), _odd(random)) for k in range(n)}
        for row, gap in zip(rows, gaps, strict=True)
    }


def _odd(random):
    """An LPIPS, now and then none."""
    return math.nan if random.random() < 0.01 else float(random.uniform(0.1, 0.5))


def _markdown(run):
    lines = (run / "report" / "report.md").read_text().split("\n| model")[1].splitlines()[2:]
    lines = lines[: lines.index("")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    stars = ("", "i", "b", "bi")
    return {
        label: [set("u" * ("<u>" in cell) + stars[cell.count("*") // 2]) for cell in cells]
        for label, *cells, _ in rows
        if label != "*variants*"
    }


def _html(run):
    table = (run / "report" / "report.html").read_text().split("<tbody>", 1)[1].split("</table>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table, flags=re.DOTALL)
    cells = {label: re.findall(r"<td data-value.*?</td>", text, flags=re.DOTALL) for label, text in rows}
    return {label: [set(re.findall("<([bui])>", cell)) for cell in found] for label, found in cells.items()}


def _latex(run):
    tags = {"textbf": "b", "underline": "u", "textit": "i"}
    table = (run / "report" / "table.tex").read_text().split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    rows = [line.removesuffix(r" \\").split(" & ") for line in table.splitlines() if " & " in line]
    return {
        label.replace(r"$\tau$", "τ").removeprefix(r"\raggedright "): [
            {tags[name] for name in re.findall(r"\\(\w+)\{", cell)} for cell in cells
        ]
        for label, *cells, _ in rows
    }
