"""All pairs of the rows of a table: pairs.csv, ``Results.pairs``, and the letters in report.md and table.tex."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from builders import metric, values_of

from srbench import Results
from srbench.reporting.generated_folder import read_listing
from srbench.reporting.results import read_results
from srbench.reporting.tables.latex import captioned_table
from srbench.reporting.tables.markdown import markdown_table
from srbench.reporting.tables.table import table_of, table_of_runs
from srbench.reporting.writers.check import report_findings
from srbench.reporting.writers.leaderboard import renew

LETTERS = (
    "Superscripts are the letters of the models below the bold ones that are significantly worse, by the same test."
)


@pytest.fixture
def run(make_run):
    """Three models, each better than the one before by so much that all pairs differ; LPIPS is equal."""

    def call(models="mno", images=20):
        random = np.random.default_rng(5)
        ease = random.normal(25, 3, images)
        noise = random.normal(0, 0.3, (3, images))
        rows = {
            (model, None): {f"image {k}": (float(ease[k] + place + noise[place, k]), 0.4) for k in range(images)}
            for place, model in enumerate(models)
        }
        return make_run(f"{models}{images}", rows)

    return call


def pairs_of(folder):
    pairs = Results(folder).pairs
    return pairs[pairs["metric"] == "psnr"]


def test_a_pair_of_two_models_is_their_comparison_and_of_three_has_the_p_of_the_report(run):
    names = ["difference", "low", "high", "p"]
    psnr = Results(run("mn")).compare("m", "n").loc["psnr"]
    assert pairs_of(run("mn"))[names].to_numpy().tolist() == [pytest.approx(psnr[names].tolist())]
    pairs = pairs_of(run())
    assert pairs[["row", "other", "n"]].to_numpy().tolist() == [["m", "n", 20], ["m", "o", 20], ["n", "o", 20]]
    assert pairs["p"].tolist() == [*table_of_runs(read_results([run()])).best["psnr"].pairs.values()]
    for _, pair in pairs.iterrows():
        alone = Results(run()).compare(pair["row"], pair["other"]).loc["psnr"]
        assert pair[names[:3]].tolist() == pytest.approx(alone[names[:3]].tolist()), "the interval is of two alone"
    few = pairs_of(run(images=5))
    assert few[["low", "high"]].isna().all(axis=None)
    assert few["p"].notna().all()


def test_files_state_pairs_on_request_alone(run, command):
    folder = run()
    place = folder / "report"
    assert command("report", folder).code == 0
    plain = {name: (place / name).read_text() for name in ("report.md", "table.tex", "report.html")}
    assert not any(word in text for text in plain.values() for word in ("<sup>", "uperscript", "pairs.csv"))
    assert not (place / "pairs.csv").exists()
    assert command("report", folder, "--pairs").code == 0
    with (place / "pairs.csv").open() as file:
        header, *lines = csv.reader(file)
    assert header == list(Results(folder).pairs.columns)
    assert [line[:3] for line in lines] == [
        [name, *pair] for name in ("psnr", "lpips") for pair in combinations("mno", 2)
    ]
    assert [float(line[6]) for line in lines[:3]] == pairs_of(folder)["p"].tolist()
    text, latex, page = ((place / name).read_text() for name in plain)
    assert '<a href="pairs.csv">' in page
    assert LETTERS in text
    row = r"^\| (\w) +\| (\w) +\| +[*]*\d+\.\d+[*]*(\S*) "
    assert re.findall(row, text, re.MULTILINE) == [
        ("a", "m", ""),
        ("b", "n", "<sup>a</sup>"),
        ("c", "o", "<sup>ab</sup>"),
    ]
    assert (
        ", in superscript the letters of the models below that are significantly worse (paired sign-flip test" in latex
    )
    assert re.findall(r"^(\w) & \w & \S*?\d}?(\\\S*) & 0.400 ", latex, re.MULTILINE) == [
        ("a", r"\hphantom{\textsuperscript{ab}}"),
        ("b", r"\textsuperscript{a}\hphantom{\textsuperscript{b}}"),
        ("c", r"\textsuperscript{ab}"),
    ]
    assert report_findings(folder) == []
    renew(folder)
    assert read_listing(place).choices.pairs
    (place / "pairs.csv").write_text((place / "pairs.csv").read_text().replace(",20\n", ",21\n"))
    assert {finding.where for finding in report_findings(folder)} == {"report/pairs.csv"}


def test_the_tables_of_a_folder_of_runs_have_letters_and_pairs_of_their_own(run, command):
    runs = run().parent
    run(images=8)
    assert command("report", runs, "--pairs").code == 0
    with (runs / "report" / "pairs.csv").open() as file:
        header, *lines = csv.reader(file)
    assert header == ["suite", "data", "scale", *Results(run()).pairs.columns]
    assert [len({tuple(line[place]) for line in lines}) for place in (0, 1, 2)] == [1, 2, 1], "two tables"
    assert [line[3:6] for line in lines[:6]] == [line[3:6] for line in lines[6:]]
    assert [line[3:6] for line in lines[:3]] == [["psnr", *pair] for pair in combinations("onm", 2)]
    text = (runs / "report" / "report.md").read_text()
    assert text.count("<sup>bc</sup>") == 2
    assert LETTERS in text
    assert report_findings(runs) == []


def test_more_models_than_letters_have_numbers(make_row):
    psnr = metric("psnr")
    rows = [
        make_row(f"m{place:02}", None, str(image), {"psnr": [20.0 + place + image]})
        for place in range(27)
        for image in range(12)
    ]
    table = table_of(values_of(rows, [psnr]), [psnr])
    assert "<sup>1,2,3</sup>" in markdown_table(table, letters=True)
    best = r"27 & m26 & \textbf{51.50}\textsuperscript{" + ",".join(map(str, range(1, 27))) + "}"
    assert best in captioned_table(table, "x", "y", intervals=False, letters=True)
    few = replace(table, lines=table.lines[:2])
    assert "superscript" not in captioned_table(few, "x", "y", intervals=False)
