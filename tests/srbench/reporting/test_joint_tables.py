from __future__ import annotations

import csv
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from builders import metric
from hypothesis import given, strategies
from record_runs import Made, forge_sums, write_run

from srbench.files.hashes import sha256_file
from srbench.reporting import ReportError
from srbench.reporting.results import read_results
from srbench.reporting.writers.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.verified import Verified

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
    assert [line.label for line in report.tables[0].lines] == ["m", "flow τ=0.5", "flow τ=0.8", "x"]
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


def test_values_of_all_images_are_compared_whatever_the_order_of_the_images(make_run):
    metrics = (PSNR, metric("fid", direction=-1, per="set"))
    runs = [
        make_run(name, {("m", None): {image: {"psnr": [20.0], "fid": fid} for image in images}}, metrics=metrics)
        for name, images, fid in (("one", "ab", 5.0), ("two", "ba", 5.0), ("three", "ba", 50.0))
    ]
    assert labels(runs[:2]) == [("m", None)]
    assert labels([runs[0], runs[2]]) == [("m @ one", None), ("m @ three", None)]


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
        ({"protocol": {"crop": 96}}, "crop: None against 96"),
        ({"protocol": {"tile": 64}}, "tile: None against 64"),
        ({"images": ["a", "c"]}, "images: b against c"),
        ({"images": ["a", "b", "c"], "limit": 1}, "images: b against nothing"),
    ],
)
def test_a_refusal_names_the_difference(make_run, change, difference):
    runs = [make_run("one", {("m", None): ONE}), make_run("two", {("m", None): ONE}, **change)]
    with pytest.raises(ReportError, match=re.escape(difference)) as error:
        read_results(runs)
    assert str(runs[0]) in str(error.value)
    assert str(runs[1]) in str(error.value)


def test_the_names_of_dataset_and_lr_do_not_count(make_run):
    """If all pixels are equal."""
    other = {"dataset": "e", "lr": "read from files"}
    runs = [make_run("one", {("m", None): ONE}), make_run("two", {("n", None): ONE}, protocol=other)]
    assert labels(runs) == [("m", None), ("n", None)]
    assert read_results(runs).protocol.dataset == "d = e"


NIQE = metric("niqe")


def test_a_metric_that_a_run_lacks_is_a_dash(make_run, tmp_path):
    one = make_run("one", {("m", None): ONE, ("n", None): OTHER})
    values = {image: {"niqe": [5.0], "psnr": [psnr]} for image, (psnr, _) in ONE.items()}
    two = make_run("two", {("m", None): values}, metrics=(NIQE, PSNR))
    assert labels([one, two]) == [("m", None), ("n", None)], "the same values under the metrics that both have"
    report = write_report([one, two], out=tmp_path / "all")
    [table] = report.tables
    assert {line.label: {name: cell.text for name, cell in line.cells.items()} for line in table.lines} == {
        "m": {"psnr": "25.00", "lpips": "0.450", "niqe": "5.00"},
        "n": {"psnr": "25.00", "lpips": "0.450", "niqe": "–"},
    }
    assert [line.not_finite for line in table.lines] == [0, 0], "a run that lacks a metric has no failure"
    text = report.files[0].read_text()
    assert "in the rows of a run without them: LPIPS (not in two), NIQE (not in one)." in text
    assert "Missing" not in text


@given(data=strategies.data())
def test_no_cell_is_of_another_signature(make_run, data):
    """Runs of any metrics under any signatures: every column has one signature and its own values."""
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
    results = read_results(folders)
    columns = {facts.name: (facts.name.partition(" ")[0], facts.signature) for facts in results.metrics}
    assert sorted(columns.values()) == sorted({pair for run in runs for pair in run.items()})
    for place, row in enumerate(results.measurements):
        own = {
            name: 10.0 * place + names.index(base)
            for name, (base, of) in columns.items()
            if runs[place].get(base) == of
        }
        assert row.values == dict.fromkeys(columns) | own


def test_values_of_unlike_numbers_of_samples_have_columns_of_their_own(photos, models, command, tmp_path):
    """Diversity and the worst LR-PSNR depend on the number of samples, and their signatures state it."""
    options = ["--scale", 4, "--data", photos, "--limit", 1, "--models", f"{models}:Noisy", "--metrics", "psnr,sigma"]
    for samples in (2, 3):
        assert command("run", *options, "--samples", samples, "--out", tmp_path / str(samples)).code == 0
    assert command("report", tmp_path / "2", tmp_path / "3", "--out", tmp_path / "both").code == 0
    head, first, second = csv.DictReader((tmp_path / "both/table.csv").read_text().splitlines()).reader
    for name, (filled, empty) in {"sigma n2": (first, second), "sigma n3": (second, first)}.items():
        assert float(filled[head.index(name)]) > 0
        assert empty[head.index(name)] == ""


def test_a_table_of_several_numbers_of_samples_and_seeds_states_all(make_run, tmp_path):
    """A column that one run could not measure, with one sample, is not left out; the order of runs does not count."""
    sigma = metric("sigma", spec="sigma")
    several = {"a": {"psnr": [20.0, 21.0], "sigma": 1.0}, "b": {"psnr": [30.0, 31.0], "sigma": 2.0}}
    runs = [
        make_run("one", {("m", None): ONE}, metrics=(PSNR,), protocol={"samples": 1}),
        make_run("two", {("flow", 0.8): several}, metrics=(PSNR, sigma), protocol={"seed": 7}),
    ]
    for order in (runs, runs[::-1]):
        report = write_report(order, out=tmp_path / "both")
        [table] = report.tables
        assert ("sigma" in {column.name for column in table.columns}, table.left_out) == (True, "")
        head = (tmp_path / "both/table.csv").read_text().splitlines()[0].split(",")
        assert head.index("sigma") < head.index("n"), "a column of the suite"
        page = (tmp_path / "both/report.html").read_text()
        assert re.search(r"Protocol srflow@1, seeds (0, 7|7, 0)\.", page)


def test_a_contradicted_run_is_named(make_run, command):
    """The report of a folder leaves it out; that of named runs shows it,
    and says so in the terminal and in report.md."""
    runs = [make_run(f"m/{name}", {(name, None): ONE}) for name in ("good", "bad")]
    (runs[1] / "rows.jsonl").write_text((runs[1] / "rows.jsonl").read_text().replace("20.0", "29.0"))
    forge_sums(runs[1])
    facts = Verified(
        sums=sha256_file(runs[1] / "SHA256SUMS"),
        date="2026-01-31T12:00",
        srbench="0.1",
        rules={"value-differs": 1},
        verdict="contradicted",
        contradicted=1,
    )
    (runs[1] / "verified.json").write_bytes(msgspec.json.encode(facts))
    found = command("report", *runs, "--out", "both")
    assert found.code == 0
    said = "bad is contradicted: 2026-01-31: 0 of 1 values and 0 of 0 items; value-differs."
    assert said in found.out
    assert f"> {said}" in Path("both/report.md").read_text()
    assert "contradicted" not in command("report", runs[0], "--out", "one").out


def test_images_of_one_name_have_to_be_the_same(make_run, greys):
    runs = [make_run("one", {("m", None): ONE}), make_run("two", {("m", None): ONE}, greys=greys(hr=0))]
    with pytest.raises(ReportError, match=r"one and .*two cannot share a table: the HR images named a differ"):
        read_results(runs)


def test_every_two_runs_have_the_same_images(make_run, greys):
    """A run that has not read an image agrees with both of two runs that differ in it."""
    runs = [
        make_run("begun", {("m", None): {"a": ONE["a"]}}, images=["a", "b"]),
        make_run("one", {("m", None): ONE}),
        make_run("two", {("n", None): ONE}),
    ]
    begun, _, two = (run / "pairs.jsonl" for run in runs)
    begun.write_text(begun.read_text().splitlines(keepends=True)[0])
    first, second = two.read_text().splitlines()
    two.write_text(f"{first}\n{second.replace(json.loads(second)['hr']['pixels'], '0' * 64)}\n")
    assert labels(runs[:2]) == labels(runs[::2])[:1] == [("m", None)]
    with pytest.raises(ReportError, match=r"one and .*two cannot share a table: the HR images named b differ"):
        read_results(runs)


def test_outputs_made_elsewhere_without_a_common_image_are_two_rows(tmp_path):
    """The digest of a folder of outputs does not cover its files, so equal digests say nothing of them."""
    runs = [
        write_run(
            tmp_path / label,
            Made(
                {"a": "a", "b": "b"}, {label: {"psnr": [20.0, 30.0]}}, (PSNR,), digests={label: "results"}, source=label
            ),
        )
        for label in ("mine", "theirs")
    ]
    for run, image in zip(runs, "ab", strict=True):
        for file in (run / "samples.jsonl", run / "rows.jsonl"):
            lines = file.read_text().splitlines(keepends=True)
            file.write_text("".join(line for line in lines if f'"{image}"' in line))
    assert [setting.label for setting in read_results(runs).settings] == ["mine", "theirs"]


def test_images_are_of_the_outputs_whose_values_are_shown(make_run, greys):
    """Outputs of the same code may differ by rounding;
    another run has the files of a row only if all pixels are equal."""
    first = make_run("first", {("m", None): ONE})
    shutil.rmtree(first / "images")
    for name, level, is_shown in (("rounded", 41, False), ("same", 40, True)):
        results = read_results([first, make_run(name, {("m", None): ONE}, greys=greys(first=level))])
        assert [line.label for line in results.settings] == ["m"]
        assert [bool(results.outputs(row)) for row in results.measurements] == [is_shown, is_shown]


def test_a_run_that_kept_fewer_samples_has_no_map_of_their_deviation(make_run, tmp_path):
    """Although the run that is shown kept more, whose files are gone."""
    values = {image: ([psnr, psnr], [lpips, lpips]) for image, (psnr, lpips) in ONE.items()}
    metrics = (PSNR, LPIPS, metric("sigma", group="Diversity"))
    runs = [
        make_run(name, {("flow", 0.8): values}, metrics=metrics, protocol={"kept": kept})
        for name, kept in (("all", 2), ("first", 1))
    ]
    shutil.rmtree(runs[0] / "images")
    write_report(runs, ["md"], tmp_path / "both")
    drawn = [path.name for path in (tmp_path / "both/maps").rglob("*.png")]
    assert drawn
    assert not [name for name in drawn if "deviation" in name]


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
