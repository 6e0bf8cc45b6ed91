"""Notes of a report about how its numbers were made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import metric
from msgspec import structs

from srbench.benchmark.run import run as run_benchmark
from srbench.reporting.check import report_findings
from srbench.reporting.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.journal import Journal
from srbench.run_folder.records import EnvironmentRecord
from srbench.run_folder.request import RunSpec

NAMES = ["apple", "birch", "cedar", "daisy", "elm", "fir leaf"]


@pytest.fixture
def run(make_run):
    """A model with one output, and one that samples twice at two temperatures."""
    one, two = ({name: values for name in NAMES} for values in ((20.0, 0.4), ([20.0, 21.0], [0.4, 0.5])))
    return make_run("run", {("bicubic", None): one, ("flow", 0.5): two, ("flow", 0.9): two})


def report(run):
    """The text of report.md."""
    return write_report([run], ["md"]).files[0].read_text()


def changed_samples(run, change):
    """Append the sample records of a run again, each with the changes that ``change`` gives."""
    folder = RunFolder.read(run)
    records = [sample for name in NAMES for sample in folder.of(name).samples.values()]
    Journal(folder).add([structs.replace(sample, **change(sample)) for sample in records])


def test_columns_that_say_nothing_and_values_that_say_little(make_run):
    """A diversity of 0 is left out of tables, but for CSV files, and named; so is a PIQUE as high as it can be."""
    rows = {
        (model, None): {
            name: {"psnr": [20.0 + place], "pique": [100.0 if place < worst else 99.9], "sigma": 0.0}
            for place, name in enumerate(NAMES)
        }
        for model, worst in (("bicubic", 2), ("rrdb", 0))
    }
    run = make_run("run", rows, metrics=(metric("psnr"), metric("pique"), metric("sigma")))
    write_report([run])
    texts = {
        name: (run / "report" / name).read_text() for name in ("report.md", "report.html", "table.tex", "table.csv")
    }
    lines = texts["report.md"].splitlines()
    assert "> sigma is left out: it is 0 everywhere, as no model draws samples that differ." in lines
    listed = "bicubic on 2 images"
    assert f"> PIQUE is saturated at 100, its largest value, where it tells no outputs apart: {listed}." in lines
    header = next(line for line in lines if line.startswith("| model"))
    assert [title.strip() for title in header.split("|")] == ["", "model", "PSNR ↑", "PIQUE ↑", "n", ""]
    assert ">sigma</button>" not in texts["report.html"]
    assert "& sigma" not in texts["table.tex"]
    assert "sigma" in texts["table.csv"].splitlines()[0].split(",")
    assert report_findings(run) == []
    only = make_run("only", rows, metrics=(metric("sigma"),))
    assert "| sigma |" in report(only), "a table has a column"


def test_samples_that_ran_away_are_counted_and_named(run):
    ran = {"apple": 2, "fir leaf": 1}
    changed_samples(run, lambda one: {"runaway": ran.get(one.image, 0) if one.temperature == 0.9 else 0})
    said = "outputs of flow τ={} had values below -0.5 or above 1.5 before clipping:"
    assert f"> 3 {said.format(0.9)} apple (2 of 2), fir leaf (1 of 2).\n" in report(run)
    changed_samples(run, lambda one: {"runaway": 1 if one.temperature == 0.5 else 0})
    listed = ", ".join(f"{name} (1 of 2)" for name in NAMES[:5])
    assert f"> 6 {said.format(0.5)} {listed} and 1 more im" in report(run)


def test_a_table_of_several_environments_says_in_what_they_differ(run):
    here = EnvironmentRecord.of({"device": "cpu", "threads": "1", "torch": "2.9"})
    other = EnvironmentRecord.of({"device": "cpu", "threads": "2", "torch": "2.9", "MKL_CBWR": "AVX2"})
    Journal(RunFolder.read(run)).add([here, other])
    changed_samples(run, lambda one: {"environment": here.key})
    assert "environments" not in report(run)
    changed_samples(run, lambda one: {"environment": (other if one.model == "flow" else here).key})
    assert (
        "> Sampled in different environments, so last digits may differ: MKL_CBWR AVX2 and unset; threads 1 and 2.\n"
        in report(run)
    )


def test_values_of_several_environments_are_said(spec, monkeypatch):
    """The same command twice, the second time for more images and under another variable."""
    monkeypatch.delenv("MKL_CBWR", raising=False)
    run_benchmark(replace(spec, limit=1))
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    text = write_report([run_benchmark(replace(spec, limit=2)).folder], ["md"]).files[0].read_text()
    for stage in ("Sampled", "Measured"):
        assert (
            f"> {stage} in different environments, so last digits may differ: MKL_CBWR COMPATIBLE and unset.\n" in text
        )


def test_hr_that_was_cropped_to_a_multiple_is_told(photos, tmp_path):
    for scale, told in ((4, True), (2, False)):
        spec = RunSpec(models=("bicubic",), scale=scale, data=str(photos), metrics=("psnr",), out=f"{tmp_path}/{scale}")
        folder = run_benchmark(spec).folder
        said = "HR is cropped at the bottom and right to multiples of 4 before anything is computed"
        assert (said in report(folder)) == told
    assert ": 1 of 4 images, such as b, from 42x33 to 40x32 pixels." in report(tmp_path / "4")


def test_what_is_left_out_or_failed_in_one_of_two_runs_has_the_label_of_the_table(make_run, tmp_path):
    one, two = (
        make_run(run, {("m", None): dict.fromkeys(NAMES[:3], (psnr, 0.4))})
        for run, psnr in (("one", 20.0), ("two", 21.0))
    )
    folder = RunFolder.read(two)
    [sample] = folder.of("birch").samples.values()
    Journal(folder).add([structs.replace(sample, key="of other weights")])
    [sample] = folder.of("apple").samples.values()
    Journal(folder).add([structs.replace(folder.scores(sample)[0], value=None, error="apple: psnr failed")])
    text = write_report([one, two], ["md"], tmp_path / "both").files[0].read_text()
    assert "code, weights or images have changed since: 1 of m @ two. Run them again.\n" in text
    assert "> Failed: m @ two: apple: psnr failed\n" in text
