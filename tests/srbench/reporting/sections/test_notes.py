"""Notes of a report about how its numbers were made:
a snapshot of every case (``--snapshot-update`` writes it anew)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from builders import metric
from msgspec import structs
from PIL import Image

from srbench.benchmark.run import run as run_benchmark
from srbench.reporting.results import read_results
from srbench.reporting.sections.notes import notes_of
from srbench.reporting.tables.table import table_of_runs
from srbench.reporting.writers.check import report_findings
from srbench.reporting.writers.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.journal import Journal
from srbench.run_folder.records import EnvironmentRecord
from srbench.run_folder.request import RunSpec

NAMES = ["apple", "birch", "cedar", "daisy", "elm", "fir leaf"]
BICUBIC, FLOW, HOT = ("bicubic", None), ("flow", 0.5), ("flow", 0.9)


def measured(names=NAMES):
    """Values of a model with one output, and of one that samples twice at two temperatures."""
    return {
        setting: {name: values for name in names}
        for setting, values in {
            BICUBIC: (20.0, 0.4),
            FLOW: ([20.0, 21.0], [0.4, 0.5]),
            HOT: ([9.0, 9.5], [0.9, 0.8]),
        }.items()
    }


def changed(setting, image, values):
    """The same, but for one image of a setting."""
    rows = measured()
    return rows | {setting: rows[setting] | {image: values}}


def notes(*runs, out=None):
    """The notes of report.md, and what it says of the data."""
    text = write_report([*runs], ["md"], out).files[0].read_text()
    return [line for line in text.splitlines() if line.startswith(("> ", "- Data: "))]


INCOMPLETE = {
    "complete": {},
    "too few images for a verdict": {"values": measured(NAMES[:5]), "images": NAMES[:5]},
    "part of a dataset": {"images": [*NAMES, "ginkgo"], "limit": 6, "protocol": {"crop": 96}},
    "an image failed": {"values": changed(FLOW, "cedar", "cedar: too wild")},
    "other images of the same number": {
        "values": {BICUBIC: {"apple": (20.0, 0.4)}, FLOW: {"birch": ([20.0, 21.0], [0.4, 0.5])}}
    },
    "models without values": {"values": {BICUBIC: measured()[BICUBIC]}, "settings": [BICUBIC, FLOW, HOT]},
    "unfinished": {"values": measured(NAMES[:2]), "invocation": {"finished": None}},
    "infinite": {"values": changed(BICUBIC, "apple", (math.inf, 0.4))},
    "a metric failed": {"values": changed(FLOW, "cedar", {"psnr": [20.0, 21.0]})},
}


def test_a_value_of_many_images_that_no_run_has_is_said(make_run):
    """Of joined shards, too, no one of which measured all images."""
    metrics = (metric("psnr"), metric("fid", title="FID", direction=-1, per="set"))
    names = ["a", "b"]
    runs = []
    for name in names:
        values = {("m", None): {name: {"psnr": [20.0], "fid": 5.0}}}
        asked = {"images": (name,)}
        runs.append(make_run(f"part {name}", values, images=names, metrics=metrics, invocation=asked))
    results = read_results(runs)
    said = "FID of m is not measured on these images; add it with srbench score RUN --metrics fid."
    assert said in notes_of(results, table_of_runs(results))


def test_what_is_incomplete_is_said(make_run, snapshot):
    facts = {"values": measured(), "images": NAMES}
    assert {name: notes(make_run("run", **facts | changes)) for name, changes in INCOMPLETE.items()} == snapshot


@pytest.mark.parametrize(("rows", "images", "is_said"), [(6, 19, True), (5, 19, False), (6, 20, False)])
def test_many_rows_on_few_images_are_said(make_run, rows, images, is_said):
    """Rows that compete count, variants do not."""
    values = {f"image {k:02}": (20.0 + k, 0.4) for k in range(images)}
    run = make_run("run", {(model, None): values for model in (*(f"m{k}" for k in range(rows)), "m0@0.5")})
    assert is_said == (
        "> 6 rows are compared on 19 images, so only large differences are significant; for more than 5 rows, at least "
        "20 images are better." in notes(run)
    )


def changed_samples(run, change):
    """Append the sample records of a run again, each with the changes that ``change`` gives."""
    folder = RunFolder.read(run)
    records = [sample for name in NAMES for sample in folder.of(name).samples.values()]
    Journal(folder).add([structs.replace(sample, **change(sample)) for sample in records])


def test_columns_that_say_nothing_and_values_that_say_little(make_run, snapshot):
    """A diversity of 0 is left out of tables, but for CSV files, and named; so is a PIQUE as high as it can be."""
    rows = {
        (model, None): {
            name: {"psnr": [20.0 + place], "pique": [100.0 if place < worst else 99.9], "sigma": 0.0}
            for place, name in enumerate(NAMES)
        }
        for model, worst in (("bicubic", 2), ("rrdb", 0))
    }
    run = make_run("run", rows, metrics=(metric("psnr"), metric("pique"), metric("sigma")))
    assert notes(run) == snapshot
    write_report([run])
    texts = {name: (run / "report" / name).read_text() for name in ("report.md", "report.html", "table.tex")}
    header = next(line for line in texts["report.md"].splitlines() if line.startswith("| model"))
    assert [title.strip() for title in header.split("|")] == ["", "model", "PSNR ↑", "PIQUE ↓", "n", ""]
    assert ">sigma</button>" not in texts["report.html"]
    assert "& sigma" not in texts["table.tex"]
    assert "sigma" in (run / "report" / "table.csv").read_text().splitlines()[0].split(",")
    assert report_findings(run) == []
    only = make_run("only", rows, metrics=(metric("sigma"),))
    assert "| sigma |" in write_report([only], ["md"]).files[0].read_text(), "a table has a column"


def test_samples_that_ran_away_are_counted_and_named(make_run, snapshot):
    run = make_run("run", measured())
    ran = {"apple": 2, "fir leaf": 1}
    changed_samples(run, lambda one: {"outliers": ran.get(one.image, 0) if one.temperature == 0.9 else 0})
    few = notes(run)
    changed_samples(run, lambda one: {"outliers": 1 if one.temperature == 0.5 else 0})
    assert [few, notes(run)] == snapshot


def test_a_table_of_several_environments_says_in_what_they_differ(make_run, snapshot):
    run = make_run("run", measured())
    here = EnvironmentRecord.of({"device": "cpu", "threads": "1", "torch": "2.9"})
    other = EnvironmentRecord.of({"device": "cpu", "threads": "2", "torch": "2.9", "MKL_CBWR": "AVX2"})
    Journal(RunFolder.read(run)).add([here, other])
    changed_samples(run, lambda one: {"environment": here.key})
    one = notes(run)
    changed_samples(run, lambda one: {"environment": (other if one.model == "flow" else here).key})
    assert [one, notes(run)] == snapshot


@pytest.mark.parametrize(
    ("device", "provider", "remark"),
    [
        ("cpu", "CPUExecutionProvider", ""),
        ("cuda", "CUDAExecutionProvider", ""),
        (
            "cuda",
            "CPUExecutionProvider",
            ", on the CPU and not on cuda, so times cannot be compared with those of other models",
        ),
    ],
)
def test_what_computed_an_onnx_file_is_said(make_run, device, provider, remark):
    """Models of torch, which have no such fact, have no other environment."""
    run = make_run("run", measured())
    torch_alone = EnvironmentRecord.of({"device": device, "torch": "2.9"})
    onnx = EnvironmentRecord.of(torch_alone.facts | {"ONNX Runtime": f"1.26.0, {provider}"})
    Journal(RunFolder.read(run)).add([torch_alone, onnx])
    changed_samples(run, lambda one: {"environment": (onnx if one.model == "flow" else torch_alone).key})
    said = [note for note in notes(run) if "ONNX" in note or "environment" in note]
    assert said == [f"> ONNX Runtime 1.26.0, {provider}, computed flow τ=0.5 and flow τ=0.9{remark}."]


def test_two_providers_of_onnx_files_are_told(make_run):
    run = make_run("run", measured())
    both = [EnvironmentRecord.of({"device": "cpu", "ONNX Runtime": version}) for version in ("1.25, X", "1.26, X")]
    Journal(RunFolder.read(run)).add(both)
    changed_samples(run, lambda one: {"environment": both[one.temperature == 0.9].key})
    told = "> Sampled in different environments, so last digits may differ: ONNX Runtime 1.25, X and 1.26, X."
    assert told in notes(run)


def test_values_of_several_environments_are_said(spec, monkeypatch):
    """The same command twice, the second time for more images and under another variable."""
    monkeypatch.delenv("MKL_CBWR", raising=False)
    run_benchmark(replace(spec, limit=1))
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    said = [note for note in notes(run_benchmark(replace(spec, limit=2)).folder) if "MKL_CBWR COMPATIBLE" in note]
    assert [note.split()[1] for note in said] == ["Sampled", "Measured"]


def test_hr_that_was_cropped_to_a_multiple_is_told(photos, tmp_path):
    spec = RunSpec(models=("bicubic",), scale=4, data=str(photos), metrics=("psnr",), out=f"{tmp_path}/run")
    [note] = [note for note in notes(run_benchmark(spec).folder) if "multiples of 4" in note]
    assert note.endswith(": 1 of 4 images, such as b, from 42x33 to 40x32 pixels.")


def test_two_runs_in_one_table(make_run, tmp_path, snapshot):
    """What is left out or failed has the label of the table; seeds and machines that differ are named."""
    one, two = (
        make_run(
            run,
            {("m", 0.5): dict.fromkeys(NAMES[:3], ([psnr] * 2, [0.4] * 2))},
            protocol={"seed": seed},
            invocation={"hardware": {"cpu": cpu}},
        )
        for run, psnr, seed, cpu in (("one", 20.0, 0, "abacus"), ("two", 21.0, 1, "slide rule"))
    )
    folder = RunFolder.read(two)
    [sample] = folder.of("birch").samples.values()
    Journal(folder).add([structs.replace(sample, key="of other weights")])
    [sample] = folder.of("apple").samples.values()
    Journal(folder).add([structs.replace(folder.scores_on(sample)[0], value=None, error="apple: psnr failed")])
    assert notes(one, two, out=tmp_path / "both") == snapshot


def test_values_of_another_number_of_samples_than_their_signature_states_are_left_out(make_run, snapshot):
    """Precomputed outputs, three samples where the run has two; one output is as many equal samples as needed."""
    metrics = (metric("psnr"), metric("sigma", signature="SIGMA|ddof1|n2"))
    samples = {"one": [20.0], "two": [20.0, 21.0], "three": [20.0, 21.0, 22.0]}
    run = make_run(
        "run", {(name, None): {"a": {"psnr": found, "sigma": 4.0}} for name, found in samples.items()}, metrics=metrics
    )
    assert notes(run) == snapshot


@pytest.mark.usefixtures("with_plots")
def test_how_many_images_a_verdict_needs_is_said_once(make_run, srbench):
    run = make_run(
        "run",
        {
            (name, None): {image: (20.0 + k, 0.1 * k) for k, image in enumerate(NAMES[:4], place)}
            for place, name in enumerate("ab")
        },
    )
    done = srbench("report", run)
    texts = [done.stdout, *((run / "report" / name).read_text() for name in ("report.md", "report.html"))]
    assert [text.count("6 images") for text in texts] == [1, 1, 1]
    assert "Verdicts and 95 % intervals need at least 6 images." in done.stdout
    assert "Highest PSNR: b at 22.50 dB, undecided." in done.stdout


def test_images_that_are_not_those_that_were_measured_are_named(make_run, snapshot):
    run = make_run("run", measured())
    Image.new("RGB", (24, 24), (1, 2, 3)).save(run / "images" / "bicubic" / "daisy.png")
    (run / "images" / "hr" / "elm.png").write_bytes((run / "images" / "bicubic" / "elm.png").read_bytes())
    assert notes(run) == snapshot


def test_machines_of_a_dask_cluster_are_named_by_its_engine(make_run, tmp_path):
    values = {("m", None): dict.fromkeys(NAMES[:3], (20.0, 0.4))}
    runs = [
        make_run(name, values, invocation={"hardware": hardware})
        for name, hardware in {"one": {"engine": "dask:tcp://10.0.0.1:8786"}, "two": {"cpu": "abacus"}}.items()
    ]
    [note] = [note for note in notes(*runs, out=tmp_path / "both") if "different machines" in note]
    assert note.endswith(": abacus; dask:tcp://10.0.0.1:8786.")


def test_precomputed_outputs_beside_lr_that_the_run_makes(tmp_path, photos):
    """A note for metrics that see LR, unless the LR images are given."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    for photo in photos.glob("*.png"):
        Image.open(photo).save(outputs / photo.name)
    given = {"lr_psnr": True, "psnr": False}
    for metric_name, has_note in given.items():
        spec = RunSpec((f"mine={outputs}",), 4, str(photos), metrics=(metric_name,), out=str(tmp_path / metric_name))
        text = "\n".join(notes(run_benchmark(spec).folder))
        assert ("if the outputs of mine came from other LR images" in text) == has_note
