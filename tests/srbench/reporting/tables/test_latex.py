from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from builders import metric, model_facts, protocol, values_of

from srbench.reporting.tables.latex import escape, latex_table
from srbench.reporting.tables.table import table_of
from srbench.run_folder.protocol import FORMAT, Invocation, Manifest, Setting

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
    def call(metrics, intervals=False, letters=False):
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
        table = table_of(values_of(rows, metrics), metrics)
        return latex_table(table, MANIFEST, intervals=intervals, letters=letters)

    return call


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


def test_tables(made, snapshot):
    """Higher PSNR and lower LPIPS are bold; signatures, caption and label;
    eight columns take a table of two columns."""
    wide = [replace(metric, name=f"{metric.name}{k}") for metric in METRICS for k in range(4)]
    narrow, with_intervals = made(METRICS), made(METRICS, intervals=True)
    assert {"narrow": narrow, "with intervals": with_intervals, "wide": made(wide)} == snapshot
    assert r"plain $\tau$=0.5 & \textbf{24.94} & 0.994 \\" in narrow, "higher is better"
    assert r" & 21.94 & \textbf{0.694} \\" in narrow, "lower is better"


def test_packaged_models_are_spelt_as_in_papers_and_labels_of_users_as_given(make_row):
    shown = {
        ("srflow", "srflow", 0.8): r"SRFlow $\tau$=0.8",
        ("bicubic", "bicubic", None): "Bicubic",
        ("esrgan+consistent", "esrgan+consistent", None): "ESRGAN+consistent",
        ("rrdb @ monday", "rrdb", None): "RRDB @ monday",
        ("esrgan", "esrgan=lanczos", None): "esrgan",
        ("srflow", "python mine.SRFlow", None): "srflow",
        ("hat", "hat.py:hat", None): "hat",
        ("srflow-mine", "srflow:mine", None): "srflow-mine",
    }
    for (label, typed, temperature), name in shown.items():
        rows = [make_row(label, temperature, str(image), {"psnr": [20.0 + image]}) for image in range(8)]
        psnr, models = [metric("psnr")], [model_facts(label, spec=typed)]
        text = latex_table(table_of(values_of(rows, psnr), psnr, models), MANIFEST, intervals=False)
        assert f"\n{name} & " in text, text


def test_the_caption_names_the_number_of_samples(make_row):
    psnr = [metric("psnr")]
    rows = [
        make_row(label, None, str(k), {"psnr": [20.0 + k] * n})
        for label, n in (("m", 1), ("flow", 3))
        for k in range(8)
    ]
    text = latex_table(table_of(values_of(rows, psnr), psnr), MANIFEST, intervals=False)
    assert "means over images, and over 3 samples of each" in text
    text = latex_table(table_of(values_of(rows[:8], psnr), psnr), MANIFEST, intervals=False)
    assert "means over images." in text


def test_the_caption_names_the_units_of_intervals(make_row):
    psnr = [metric("psnr")]
    rows = [make_row("m", None, str(image), {"psnr": [20.0 + image]}) for image in range(12)]
    values = replace(values_of(rows, psnr), unit_of={str(image): str(image // 2) for image in range(12)})
    text = latex_table(table_of(values, psnr), MANIFEST, intervals=True)
    assert "means over groups of 2 images with 95\\,\\% intervals (by sign flips, from 6 groups on)" in text


@pytest.mark.parametrize("letters", [False, True])
def test_it_is_well_formed(made, letters):
    """Without a compiler: environments and braces are closed, and all rows have as many cells."""
    made_text = made(METRICS, intervals=letters, letters=letters)
    assert (r"\textsuperscript{" in made_text) == letters
    lines = [re.sub(r"(?<!\\)%.*", "", line) for line in made_text.splitlines()]
    text = "\n".join(lines)
    assert text.count(r"\begin{") == text.count(r"\end{") > 0
    assert len(re.findall(r"(?<!\\){", text)) == len(re.findall(r"(?<!\\)}", text))
    rows = [line for line in lines if line.rstrip().endswith(r"\\") and r"\multicolumn" not in line]
    assert len(rows) > len(NAMES)
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1


def test_a_table_wider_than_the_page_is_shrunk_to_it(made):
    for copies, is_shrunk in ((1, False), (4, True)):
        metrics = [replace(metric, name=f"{metric.name}{k}") for metric in METRICS for k in range(copies)]
        text = made(metrics, intervals=True)
        assert (r"\resizebox{\textwidth}{!}{\begin{tabular}" in text) == is_shrunk
        assert (r"\usepackage{graphicx}" in text.splitlines()[0]) == is_shrunk


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("intervals", [False, True])
@pytest.mark.parametrize("copies", [1, 4])
def test_it_compiles_in_a_paper_of_two_columns(copies, intervals, tmp_path, made):
    metrics = [replace(metric, name=f"{metric.name}{k}") for metric in METRICS for k in range(copies)]
    (tmp_path / "table.tex").write_text(made(metrics, intervals))
    document = (
        r"\documentclass[10pt,twocolumn,letterpaper]{article}\usepackage[T1]{fontenc}\usepackage{booktabs}"
        r"\usepackage{graphicx}"
        r"\setlength{\textwidth}{6.875in}\setlength{\columnsep}{0.3125in}\setlength{\oddsidemargin}{-0.1875in}"
        r"\begin{document}Table~\ref{LABEL}.\input{table}\end{document}"
    ).replace("LABEL", re.search(r"label{(.*)}", made(metrics, intervals))[1])
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    for _ in range(2):  # the second time it knows the number of the table
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "Warning" not in done.stdout, done.stdout
    assert "Missing character" not in done.stdout
