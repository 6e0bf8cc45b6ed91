import json
import math
from dataclasses import replace
from io import StringIO
from operator import attrgetter

import pandas as pd
import pytest
from builders import metric, model_facts, protocol, values_of
from msgspec import structs

from srbench.reporting.tables.csv import rows_csv, table_csv
from srbench.reporting.tables.table import table_of
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest, write_manifest
from srbench.run_folder.measurements import failures_of, measurements_of
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import (
    ImageDigest,
    PairRecord,
    SampleRecord,
    ScoreRecord,
    append,
    drop_torn_lines,
    from_line,
    read,
    to_line,
)
from srbench.run_folder.values import COLUMNS, agree, is_close

INF = math.inf
PSNR = metric("psnr")
SIGMA = metric("sigma")
PROTOCOL = protocol(dataset="photos")


@pytest.fixture
def rows(make_row):
    return [
        make_row("zebra", None, "a", {"psnr": [30.0], "sigma": 0.0}),
        make_row("ape", 0.8, "a", {"psnr": [10.0, 20.0], "sigma": 2.0}),
        make_row("ape", 0.0, "a", {"psnr": [INF, INF], "sigma": 0.0}),
        make_row("zebra", None, "b", {"psnr": [INF], "sigma": 0.0}),
        make_row("ape", 0.8, "b", {"psnr": [16.0, 24.0], "sigma": 4.0}),
    ]


@pytest.fixture
def values(rows):
    return values_of(rows, (PSNR, SIGMA))


def lines_of(rows, metrics=(PSNR, SIGMA)):
    return table_of(values_of(rows, metrics), metrics).lines


def score(value, error=""):
    return ScoreRecord("1", 0, error, "a", "m", 0.8, "psnr", "PSNR|RGB", value, "2", 0.25)


DIGEST = ImageDigest("3", None)
RECORDS = [
    *map(score, ([30.0], [10.0, INF], [-INF, math.pi], 4.0, INF)),
    score(None, "it failed"),
    ScoreRecord("1", 0, "", "", "m", 0.8, "fid", "FID|RGB", 20.5, "", 0.25),
    SampleRecord("2", 0, "", "a", "m", 0.8, "", (ImageDigest("3", "4"), DIGEST), 0.5, None),
    SampleRecord("2", 0, "no\nmemory", "a b", "m", None, "5", (), 0.0, 100.0),
    PairRecord("6", 0, "", "τ", DIGEST, DIGEST),
    PairRecord("6", 3, "damaged", "τ", None, None),
]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_survives_json(record):
    line = to_line(record)
    assert from_line(line, type(record)) == record
    assert "\n" not in line
    assert "Infinity" not in line


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"key": "1"}',
        to_line(RECORDS[0]).replace("[30.0]", '["x"]'),
        to_line(RECORDS[0]).replace("[30.0]", "[true]"),
        to_line(RECORDS[0]).replace('"a"', '"../a"'),
        to_line(RECORDS[0]).replace('"seconds"', '"hours"'),
        to_line(RECORDS[0])[:-1] + ', "tries": 1}',
    ],
)
def test_what_is_no_record(line):
    with pytest.raises(ValueError):  # noqa: PT011 - any reason will do
        from_line(line, ScoreRecord)


@pytest.mark.parametrize("record", [record for record in RECORDS if not isinstance(record, ScoreRecord)])
def test_only_values_may_be_of_all_images(record):
    line = to_line(record).replace(f'"image": {json.dumps(record.image)}', '"image": ""')
    with pytest.raises(ValueError, match="'' cannot be the name of an image"):
        from_line(line, type(record))


def test_numbers_are_tidy(values):
    numbers = list(values.numbers([PSNR, SIGMA]))
    assert len(numbers) == 8 + 5
    assert [number[2:] for number in numbers if number[:3] == ("ape", 0.8, "b")] == [
        ("b", 0, "psnr", 16.0),
        ("b", 1, "psnr", 24.0),
        ("b", -1, "sigma", 4.0),
    ]


def test_a_line_has_the_mean_over_images_of_the_mean_over_samples(rows):
    lines = lines_of(rows)
    assert [line.setting.model for line in lines] == ["zebra", "ape", "ape"], "in the order of the rows"
    ape = lines[1]
    assert (ape.cells["psnr"].mean, ape.cells["sigma"].mean, ape.images, ape.not_finite) == (17.5, 3.0, 2, 0)
    assert math.isnan(ape.cells["psnr"].low), "two images have no interval"


def test_values_that_are_not_finite_are_left_out_and_counted(rows):
    zebra, _, equal = lines_of(rows)
    assert zebra.setting.temperature is None
    assert (zebra.cells["psnr"].mean, zebra.images, zebra.not_finite) == (30.0, 2, 1)
    assert (equal.cells["psnr"].mean, equal.images, equal.not_finite) == (INF, 1, 1), "where all are, so is the mean"


def test_an_undefined_sample_makes_its_image_undefined(make_row):
    values = {"a": [math.nan, 3.0], "b": [4.0, 6.0]}
    (line,) = lines_of([make_row("m", 1.0, name, {"psnr": found}) for name, found in values.items()], [PSNR])
    assert (line.cells["psnr"].mean, line.images, line.not_finite) == (5.0, 2, 1)


def test_a_value_that_is_missing_is_counted_and_left_out(make_row):
    rows = [make_row("m", None, "a", {"psnr": [2.0], "sigma": 1.0}), make_row("m", None, "b", {"sigma": 3.0})]
    (line,) = lines_of(rows)
    assert (line.cells["psnr"].mean, line.cells["sigma"].mean, line.images, line.not_finite) == (2.0, 2.0, 2, 1)


def test_csv_has_the_columns_of_the_suite(values):
    models = [model_facts("zebra"), model_facts("ape")]
    assert table_csv(table_of(values, (PSNR, SIGMA), models), "srflow@1", PROTOCOL).splitlines() == [
        "model,temperature,family,competes,psnr,ssim,lpips,lr_psnr,niqe,brisque,pique,sigma,n,"
        "psnr_low,psnr_high,sigma_low,sigma_high,not_finite,psnr_signature,sigma_signature,suite",
        "zebra,,zebra,True,30.0,,,,,,,0.0,2,,,,,1,PSNR|RGB,SIGMA|ddof1,srflow@1",
        "ape,0.8,ape,True,17.5,,,,,,,3.0,2,,,,,0,PSNR|RGB,SIGMA|ddof1,srflow@1",
        "ape,0.0,ape,False,inf,,,,,,,0.0,1,,,,,1,PSNR|RGB,SIGMA|ddof1,srflow@1",
    ]


def test_csv_holds_the_same_numbers(make_row):
    """Read by pandas: thirds and names with commas and quotes included.

    Numbers are read by Python, exactly: how exact pandas' own reading is differs from version to version.
    """
    names = ["a,b", 'c"d', "e f", "=1+1", "ü 漢", "g"]
    rows = [make_row("m", 0.1, name, {"psnr": [k / 3, k / 7], "sigma": k / 9}) for k, name in enumerate(names)]
    table = table_of(values_of(rows, (PSNR, SIGMA)), (PSNR, SIGMA))
    back = pd.read_csv(
        StringIO(rows_csv(table.values, table.metrics, "srflow@1")),
        converters={"value": float},
        dtype={"sample": "Int64"},
    )
    expected = pd.DataFrame(table.values.numbers([PSNR, SIGMA]), columns=COLUMNS).assign(
        sample=pd.array([0, 1, pd.NA] * 6, dtype="Int64"),
        signature=["PSNR|RGB", "PSNR|RGB", "SIGMA|ddof1"] * 6,
        suite="srflow@1",
    )
    pd.testing.assert_frame_equal(back, expected, check_dtype=False, check_exact=True)
    columns = [f"{name}{end}" for name in ("psnr", "sigma") for end in ("", "_low", "_high")]
    exactly = dict.fromkeys(columns, lambda text: float(text or "nan"))
    means = pd.read_csv(StringIO(table_csv(table, "srflow@1", PROTOCOL)), converters=exactly)
    cells = [table.lines[0].cells[name] for name in ("psnr", "sigma")]
    assert means[columns].iloc[0].tolist() == [end for cell in cells for end in (cell.mean, cell.low, cell.high)]


def test_metrics_of_others_follow(make_row):
    rows = [make_row("m", None, "a", {"psnr": [1.0], "dists": [0.5]})]
    dists = metric("dists", direction=-1, digits=3, protocol="VGG", signature="DISTS|code", spec="dists.py:DISTS")
    text = table_csv(table_of(values_of(rows, (dists, PSNR)), (dists, PSNR)), "srflow@1", PROTOCOL)
    assert ",pique,sigma,n,dists,dists_low,dists_high,psnr_low," in text


@pytest.fixture
def run(make_run):
    return make_run(
        "run",
        {
            ("m", None): {"a": (20.0, 0.5), "b": (30.0, 0.4)},
            ("flow", 0.8): {"a": ([10.0, 12.0], [0.1, 0.2]), "b": "b: too wild"},
        },
    )


def test_planned_rows_come_in_the_order_of_the_plan(run):
    rows = measurements_of(RunFolder.read(run))
    assert [(row.setting.model, row.setting.temperature, row.image) for row in rows] == [
        ("m", None, "a"),
        ("m", None, "b"),
        ("flow", 0.8, "a"),
    ]
    assert rows[2].values == {"psnr": [10.0, 12.0], "lpips": [0.1, 0.2]}
    assert failures_of(RunFolder.read(run), attrgetter("label")) == ["flow τ=0.8: b: too wild"]
    manifest = read_manifest(run)
    asked = replace(manifest.invocations[0], images=("a",))
    write_manifest(run, replace(manifest, settings=manifest.settings[::-1], invocations=(asked,)))
    assert [(row.setting.model, row.image) for row in measurements_of(RunFolder.read(run))] == [
        ("flow", "a"),
        ("m", "a"),
    ]
    write_manifest(run, replace(manifest, models=tuple(replace(one, digest="other") for one in manifest.models)))
    with pytest.raises(RunFolderError, match="nothing is measured yet"):
        measurements_of(RunFolder.read(run))


def test_values_of_other_code_or_weights_are_no_rows(run):
    manifest = read_manifest(run)
    metrics = tuple(replace(one, digest="other") if one.name == "lpips" else one for one in manifest.metrics)
    write_manifest(run, replace(manifest, metrics=metrics))
    assert [list(row.values) for row in measurements_of(RunFolder.read(run))] == [["psnr"]] * 3
    models = tuple(replace(one, digest="other") if one.label == "m" else one for one in manifest.models)
    write_manifest(run, replace(manifest, models=models))
    assert [row.setting.model for row in measurements_of(RunFolder.read(run))] == ["flow"]


def test_a_later_line_replaces_an_earlier_one(run):
    folder = RunFolder.read(run)
    known = folder.score(folder.sample(Setting("m", None), "a"), folder.manifest.metric("psnr"))
    append(run, [structs.replace(known, value=None, error="a: psnr failed")])
    assert "psnr" not in measurements_of(RunFolder.read(run))[0].values
    assert failures_of(RunFolder.read(run), attrgetter("label"))[-1] == "flow τ=0.8: b: too wild"
    assert "m: a: psnr failed" in failures_of(RunFolder.read(run), attrgetter("label"))
    append(run, [known])
    assert measurements_of(RunFolder.read(run))[0].values["psnr"] == [20.0]


def write_lines(folder, lines, end="\n"):
    (folder / "rows.jsonl").write_text("\n".join(lines) + end)


def test_a_torn_last_line_is_left_out(tmp_path):
    lines = [to_line(record) for record in RECORDS[:3]]
    write_lines(tmp_path, [*lines[:2], lines[2][:40]], end="")
    assert list(read(tmp_path, ScoreRecord)) == RECORDS[:2]
    drop_torn_lines(tmp_path)
    append(tmp_path, RECORDS[3:5])
    assert list(read(tmp_path, ScoreRecord)) == [*RECORDS[:2], *RECORDS[3:5]]
    assert list(read(tmp_path / "absent", ScoreRecord)) == []


def test_damage_elsewhere_is_named(tmp_path):
    write_lines(tmp_path, [to_line(RECORDS[0]), "no json", to_line(RECORDS[1])])
    with pytest.raises(RunFolderError, match=r"rows\.jsonl: line 2 is damaged"):
        list(read(tmp_path, ScoreRecord))


def test_the_worst_sample_of_every_image(make_row):
    found = {"a": [1.0, 3.0, math.nan], "b": [4.0, INF], "c": [math.nan]}
    rows = [make_row(model, None, name, {"psnr": psnr}) for model in "mn" for name, psnr in found.items()]
    values = values_of(rows, (PSNR, SIGMA))
    assert [values.worst(setting, PSNR) for setting in values.settings] == [{"a": 1.0, "b": 4.0}] * 2
    assert values.worst(values.settings[0], metric("psnr", direction=-1)) == {"a": 3.0, "b": INF}


def test_values_of_another_number_of_samples_than_their_signature_states_are_left_out(make_run):
    """Precomputed outputs, three samples where the run has two; one output is as many equal samples as needed."""
    metrics = (PSNR, metric("sigma", signature="SIGMA|ddof1|n2"))
    samples = {"one": [20.0], "two": [20.0, 21.0], "three": [20.0, 21.0, 22.0]}
    run = make_run(
        "run", {(name, None): {"a": {"psnr": found, "sigma": 4.0}} for name, found in samples.items()}, metrics=metrics
    )
    rows = measurements_of(RunFolder.read(run))
    assert [list(row.values) for row in rows] == [["psnr", "sigma"], ["psnr", "sigma"], ["psnr"]]


FID, KID = (metric(name, direction=-1, per="set", digits=digits) for name, digits in (("fid", 2), ("kid", 5)))
MSE = metric("mse", direction=-1, digits=6)


@pytest.mark.parametrize(
    ("metric", "value", "other", "equal"),
    [
        (PSNR, 25.0, 25.0002, True),
        (PSNR, 25.0, 25.0003, False),
        (PSNR, 0.0, 9e-6, True),
        (PSNR, 0.0, 2e-5, False),
        (PSNR, -25.0, 25.0, False),
        (PSNR, INF, INF, True),
        (PSNR, INF, 25.0, False),
        (PSNR, INF, -INF, False),
        (PSNR, math.nan, math.nan, True),
        (PSNR, math.nan, 25.0, False),
        (MSE, 0.001, 0.00100001, True),
        (MSE, 0.001, 0.001001, False),
        (FID, 40.0, 40.03, True),
        (FID, 40.0, 40.1, False),
        (KID, 0.05, 0.05004, True),
        (KID, 0.00103, 0.00102, False),
        (KID, -0.00002, 0.00001, False),
        (KID, 1e-7, -1e-7, True),
    ],
)
def test_equal_up_to_rounding(metric, value, other, equal):
    """The last digit that a table prints is never swallowed: not of KID, whose values are near 0, nor of an error."""
    assert agree(value, other, metric) == agree(other, value, metric) == equal
    assert agree([1.0, value], [1.0, other], metric) == equal
    assert not agree([value], [value, value], metric)
    assert not agree(value, [value], metric)


def test_equality_is_that_of_the_standard_library():
    numbers = [0.0, 1e-6, 1.1e-5, 0.3, 0.3 + 8e-6, 1.0, 1.00001, 25.0, 25.0002, 25.0003, -25.0, 1e9, INF, -INF]
    expected = [[math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-5) for other in numbers] for one in numbers]
    assert [[bool(is_close(one, other, PSNR)) for other in numbers] for one in numbers] == expected
