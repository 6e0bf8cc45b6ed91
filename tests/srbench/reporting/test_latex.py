from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from builders import metric, protocol

from srbench.reporting.latex import display_name, escape, latex_table
from srbench.reporting.scores import score
from srbench.run_folder.protocol import FORMAT, Invocation, Manifest, Setting
from srbench.run_folder.results import ResultTable

NAMES = [r"50% of_it & #1 {x} ~^$ \input{y}", "<b>\"q\" 'p' `c` |", "dash--dash --- é Ü ß 漢 τ", "plain"]
METRICS = [
    metric("psnr", protocol="100% RGB_8", signature="PSNR|RGB_8"),
    metric("lpips", title="LPIPS_x", protocol="a\nb", signature="LPIPS-X|v1"),
]
PROTOCOL = protocol(dataset="my_photos & more", scale=8, crop=64, samples=1)
IMAGES = tuple(map(str, range(8)))
ASKED = Invocation("srbench run", (Setting("m", None),), IMAGES, ("psnr",), "then", "later", "cpu", {}, {})
MANIFEST = Manifest(FORMAT, PROTOCOL, IMAGES, tuple(METRICS), (), ASKED.settings, (ASKED,))


@pytest.fixture
def made(make_row):
    def call(metrics, intervals=False):
        rows = [
            make_row(
                name,
                0.5 if k else None,
                str(image),
                {
                    m.name: [20.0 + k + image**2 / 9] if m.direction > 0 else [0.5 + k / 10 + image**2 / 90]
                    for m in metrics
                },
            )
            for k, name in enumerate(NAMES)
            for image in range(8)
        ]
        results = ResultTable.from_rows(rows, tuple(metric.name for metric in metrics))
        return latex_table(score(results, metrics), MANIFEST, intervals=intervals)

    return call


@pytest.fixture
def table(made):
    return made(METRICS)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("[ours] x", "{}[ours] x"),
        ("*ours", "{}*ours"),
        ("a--b", "a-{}-b"),
        ("srflow-t0.8 x4+", "srflow-t0.8 x4+"),
    ],
)
def test_no_name_is_taken_for_an_argument_or_a_dash(name, escaped):
    assert escape(name) == escaped


def test_marks_arrows_intervals_and_protocol(made):
    table = made(METRICS, intervals=True)
    lines = table.splitlines()
    assert r"model & PSNR $\uparrow$ & LPIPS\_x $\downarrow$ \\" in lines
    assert r"plain $\tau$=0.5 & \textbf{24.94} & 0.994 \\" in lines, "higher is better"
    first = lines.index(next(line for line in lines if line.startswith(r"50\% of\_it")))
    assert lines[first].endswith(r" & 21.94 & \textbf{0.694} \\"), "lower is better"
    assert lines[first + 1].count("textendash") == 2
    assert [line for line in lines if line.startswith("%")][1:] == ["% Signatures: PSNR|RGB_8, LPIPS-X|v1"]
    assert r"\label{tab:my-photos-more-x8}" in lines
    caption = next(line for line in lines if line.startswith(r"\caption"))
    assert caption == (
        r"\caption{Super-resolution $8\times$ on my\_photos \& more (8 images, the central 64 $\times$ 64 of each, LR made "
        r"from HR), protocol srflow@1: means over images with 95\,\% intervals (BCa bootstrap, from 6 images on), in bold "
        r"the best and all that are not significantly worse (paired permutation test, Holm, $p < 0.05$).}"
    )


def test_without_intervals_a_row_is_a_line(table, made):
    lines = table.splitlines()
    rows = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert len(rows) == len(NAMES)
    assert r"\label{tab:my-photos-more-x8}" in lines
    assert "scriptsize" not in table
    assert "resizebox" not in table


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("srflow τ=0.8", "SRFlow τ=0.8"),
        ("esrgan+consistent", "ESRGAN+consistent"),
        ("bicubic", "Bicubic"),
        ("real-esrgan", "Real-ESRGAN"),
        ("srflow-mine", "srflow-mine"),
        ("hats", "hats"),
        ("My srflow", "My srflow"),
    ],
)
def test_models_are_named_as_papers_do(label, shown):
    assert display_name(label) == shown


def test_a_wide_table_takes_both_columns_of_a_paper(made):
    wide = made([replace(metric, name=f"{metric.name}{k}") for metric in METRICS for k in range(4)])
    for text, environment in ((made(METRICS[:1]), "table"), (wide, "table*")):
        assert f"\\begin{{{environment}}}" in text
        assert f"\\end{{{environment}}}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("intervals", [False, True])
@pytest.mark.parametrize("copies", [1, 4])
def test_it_compiles_in_a_paper_of_two_columns(copies, intervals, tmp_path, made):
    metrics = [replace(metric, name=f"{metric.name}{k}") for metric in METRICS for k in range(copies)]
    (tmp_path / "table.tex").write_text(made(metrics, intervals))
    document = (
        r"\documentclass[10pt,twocolumn,letterpaper]{article}\usepackage[T1]{fontenc}\usepackage{booktabs}"
        r"\setlength{\textwidth}{6.875in}\setlength{\columnsep}{0.3125in}\setlength{\oddsidemargin}{-0.1875in}"
        r"\begin{document}Table~\ref{LABEL}.\input{table}\end{document}"
    ).replace("LABEL", re.search(r"label{(.*)}", made(metrics, intervals))[1])
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    for _ in range(2):  # the second time it knows the number of the table
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "Warning" not in done.stdout, done.stdout
    assert "Missing character" not in done.stdout
