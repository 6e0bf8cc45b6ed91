from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace

import pytest
from builders import metric
from hypothesis import given, strategies

from srbench.reporting import ReportError
from srbench.reporting.report import write_report
from srbench.reporting.results import read_results
from srbench.run_folder.folder import RunFolder

ONE = {"a": (20.0, 0.5), "b": (30.0, 0.4)}
OTHER = {"a": (21.0, 0.6), "b": (29.0, 0.3)}
PSNR = metric("psnr")
LPIPS = metric("lpips")


def labels(runs):
    return [(row.setting.model, row.setting.temperature) for row in read_results(runs).measurements if row.image == "a"]


def test_several_runs_are_one_table(make_run, tmp_path):
    runs = [
        make_run("one", {("m", None): ONE, ("flow", 0.5): OTHER}),
        make_run("two", {("m", None): ONE, ("flow", 0.8): ONE}),
        make_run("three", {("x", None): OTHER}),
    ]
    assert labels(runs) == [("m", None), ("flow", 0.5), ("flow", 0.8), ("x", None)], "what is the same is there once"
    report = write_report(runs, out=tmp_path / "all")
    assert [line.label for line in report.table.lines] == ["m", "flow τ=0.5", "flow τ=0.8", "x"]
    assert [path.name for path in report.files] == ["report.md", "report.html", "table.tex", "table.csv"]
    text = report.files[0].read_text()
    assert re.findall(r"--out (\w+)", text) == ["one", "two", "three"], "every run's command"
    strips = {path.name for path in (tmp_path / "all" / "strips").iterdir()}
    assert strips == {"a.png", "b.png"}
    assert not (runs[0] / "report" / "report.md").exists()


def test_a_report_looks_for_the_pair_of_an_image_once(make_run, monkeypatch):
    run, looked_for = make_run("one", {("m", None): ONE}), []
    pair = RunFolder.pair
    monkeypatch.setattr(
        RunFolder, "pair", lambda self, image, kept: looked_for.append(image) or pair(self, image, kept)
    )
    write_report([run])
    assert sorted(looked_for) == ["a", "b"]


def test_a_label_with_two_meanings_is_told_apart(make_run):
    runs = [make_run("one", {("m", None): ONE, ("n", None): ONE}), make_run("two", {("m", None): OTHER})]
    results = read_results(runs)
    assert labels(runs) == [("m @ one", None), ("n", None), ("m @ two", None)]
    assert [model.label for model in results.models] == ["m @ one", "n", "m @ two"]
    for row in results.measurements:
        run = "two" if row.setting.model == "m @ two" else "one"
        assert [path.parts[-4] for path in results.outputs(row)] == [run]


def test_other_weights_are_another_model(make_run):
    models = {"m": {"digest": "other"}}
    runs = [make_run("one", {("m", 0.5): ONE}), make_run("two", {("m", 0.8): ONE}, models=models)]
    assert labels(runs) == [("m @ one", 0.5), ("m @ two", 0.8)]


def test_folders_of_one_name_are_numbered(make_run):
    runs = [make_run("x/run", {("m", None): ONE}), make_run("y/run", {("m", None): OTHER})]
    assert labels(runs) == [("m @ run (1)", None), ("m @ run (2)", None)]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"protocol": {"suite": "srflow@2"}}, "protocol: srflow@1 against srflow@2"),
        ({"protocol": {"scale": 8}}, "scale: 4 against 8"),
        ({"protocol": {"dataset": "e"}}, "dataset: d against e"),
        ({"protocol": {"crop": 96}}, "crop: None against 96"),
        ({"protocol": {"lr": "read from files"}}, "LR images: made from HR against read from files"),
        ({"protocol": {"tile": 64}}, "tile: None against 64"),
        ({"images": ["a", "c"]}, "images: b against c"),
        ({"images": ["a", "b", "c"], "limit": 1}, "images: b against nothing"),
        ({"metrics": (PSNR, replace(LPIPS, signature="LPIPS|vgg"))}, "metrics: LPIPS|alex against LPIPS|vgg"),
    ],
)
def test_a_refusal_names_the_difference(make_run, change, difference):
    runs = [make_run("one", {("m", None): ONE}), make_run("two", {("m", None): ONE}, **change)]
    with pytest.raises(ReportError, match=re.escape(difference)) as error:
        read_results(runs)
    assert str(runs[0]) in str(error.value)
    assert str(runs[1]) in str(error.value)


NIQE = metric("niqe")


def test_columns_are_those_that_all_runs_have(make_run, tmp_path, recwarn):
    one = make_run("one", {("m", None): ONE})
    values = {image: {"niqe": [5.0], "psnr": [psnr]} for image, (psnr, _) in ONE.items()}
    two = make_run("two", {("m", None): values}, metrics=(NIQE, PSNR))
    results = read_results([one, two])
    sentence = "The table has only metrics of all runs; left out: LPIPS (not in two), NIQE (not in one)."
    assert [str(warning.message) for warning in recwarn] == [sentence]
    assert [facts.name for facts in results.metrics] == ["psnr"]
    assert labels([one, two]) == [("m", None)], "the same values under the metrics that both have"
    text = write_report([one, two], out=tmp_path / "all").files[0].read_text()
    assert sentence in text
    assert "NIQE ↓" not in text
    with pytest.raises(ReportError, match=r"one and .*three have no metric in common; add one with srbench score"):
        read_results(
            [one, make_run("three", {("m", None): {"a": {"niqe": [5.0]}}}, metrics=(NIQE,), images=["a", "b"])]
        )


@given(data=strategies.data())
def test_no_cell_is_of_another_signature(make_run, data):
    """Runs of any metrics under any signatures: refused, or every column has one signature and its own values."""
    names = ("psnr", "lpips", "niqe")
    runs = data.draw(
        strategies.lists(
            strategies.dictionaries(strategies.sampled_from(names), strategies.sampled_from("xxy"), min_size=1),
            min_size=2,
            max_size=3,
        )
    )
    folders = [
        make_run(
            f"run{place}",
            {(f"m{place}", None): {"a": {name: 10.0 * place + names.index(name) for name in signatures}}},
            metrics=tuple(replace(metric(name), signature=signature) for name, signature in signatures.items()),
        )
        for place, signatures in enumerate(runs)
    ]
    shared = set.intersection(*map(set, runs))
    alike = all(len({run[name] for run in runs if name in run}) == 1 for name in {name for run in runs for name in run})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = read_results(folders)
    except ReportError:
        assert not shared or not alike
        return
    assert {facts.name for facts in results.metrics} == shared
    for place, row in enumerate(results.measurements):
        assert row.values == {name: 10.0 * place + names.index(name) for name in shared}
        for facts in results.metrics:
            assert facts.signature == runs[place][facts.name]


def test_values_of_unlike_numbers_of_samples_are_refused(photos, models, command, tmp_path):
    """Diversity and the worst LR-PSNR depend on the number of samples, and their signatures state it."""
    options = ["--scale", 4, "--data", photos, "--limit", 1, "--models", f"{models}:Noisy", "--metrics", "psnr,sigma"]
    for samples in (2, 3):
        assert command("run", *options, "--samples", samples, "--out", tmp_path / str(samples)).code == 0
    found = command("report", tmp_path / "2", tmp_path / "3", "--out", tmp_path / "both")
    assert found.code == 1
    assert "metrics: SIGMA|RGB|float|ddof1|v1|n2 against SIGMA|RGB|float|ddof1|v1|n3; report each" in found.err


def test_images_of_one_name_have_to_be_the_same(make_run, greys):
    runs = [make_run("one", {("m", None): ONE}), make_run("two", {("m", None): ONE}, greys=greys(hr=0))]
    with pytest.raises(ReportError, match=r"one and .*two cannot share a table: the HR images named a differ"):
        read_results(runs)


def test_what_a_report_cannot_be_made_of(make_run, srbench, tmp_path):
    run = make_run("one", {("m", None): ONE})
    with pytest.raises(ReportError, match="several runs have no folder in common; name one"):
        write_report([run, make_run("two", {("m", None): ONE})])
    found = srbench("report", run, "--format", "md,docx")
    assert (found.exit_code, found.output) == (1, "srbench: unknown format 'docx'; choose from md, html, tex, csv\n")
    found = srbench("report", run, "--format", "csv", "--out", tmp_path / "elsewhere")
    assert found.exit_code == 0
    made = sorted(path.name for path in (tmp_path / "elsewhere").iterdir())
    assert made == ["report.json", "rows.csv", "table.csv"]


def test_values_that_are_unknown_are_no_conflict(make_run):
    values = {"a": (20.0, math.nan), "b": (30.0, math.nan)}
    runs = [make_run(name, {("m", None): values}) for name in ("one", "two")]
    assert labels(runs) == [("m", None)]
