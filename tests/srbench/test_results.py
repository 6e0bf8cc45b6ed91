import math

import pandas as pd
import pytest

from srbench.manifest import write_manifest
from srbench.results import ResultsError, ResultTable, Row, read_all_rows, read_rows, write_csv

INF = math.inf


def row(key, model, temperature, image, **values):
    return Row(key, model, temperature, "d", image, 4, 2, 0, "srflow@1", values, 0.5, 0.25, 100.0)


ROWS = [
    row("1", "zebra", None, "a", psnr=[30.0], sigma=0.0),
    row("2", "ape", 0.8, "a", psnr=[10.0, 20.0], sigma=2.0),
    row("3", "ape", 0.0, "a", psnr=[INF, INF], sigma=0.0),
    row("4", "zebra", None, "b", psnr=[INF], sigma=0.0),
    row("5", "ape", 0.8, "b", psnr=[16.0, 24.0], sigma=4.0),
]


@pytest.fixture
def table():
    return ResultTable.from_rows(ROWS, ("psnr", "sigma"))


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_a_row_survives_json(number):
    line = ROWS[number].to_json()
    assert Row.from_json(line) == ROWS[number]
    assert "\n" not in line
    assert "Infinity" not in line


@pytest.mark.parametrize("line", ["", "[]", "3", "{}", '{"key": "1"}', '{"key": "1", "values": {"psnr": ["x"]}}'])
def test_what_is_no_row(line):
    with pytest.raises(ValueError):  # noqa: PT011 - any reason will do
        Row.from_json(line)


def test_the_values_are_tidy(table):
    assert list(table.values.columns) == ["model", "temperature", "dataset", "image", "sample", "metric", "value"]
    assert len(table.values) == 8 + 5
    samples = table.values[(table.values.model == "ape") & (table.values.image == "b")]
    assert samples[["sample", "metric", "value"]].values.tolist() == [
        [0, "psnr", 16.0],
        [1, "psnr", 24.0],
        [-1, "sigma", 4.0],
    ]


def test_summary_is_the_mean_over_pictures_of_the_mean_over_samples(table):
    summary = table.summary()
    assert [model for model, _ in summary.index] == ["zebra", "ape", "ape"], "in the order of the rows"
    found = summary.loc[("ape", 0.8)].to_dict()
    intervals = {"psnr_low": 15, "psnr_high": 20, "sigma_low": 2, "sigma_high": 4}
    assert found == {"psnr": 17.5, "sigma": 3.0, "n": 2, "not_finite": 0} | intervals


def test_values_that_are_not_finite_are_left_out_and_counted(table):
    summary = table.summary().reset_index()
    zebra, _, equal = (summary.loc[i] for i in range(3))
    assert math.isnan(zebra.temperature)
    assert (zebra.psnr, zebra.n, zebra.not_finite) == (30.0, 2, 1)
    assert math.isnan(zebra.psnr_low), "one value has no interval"
    assert (zebra.sigma_low, zebra.sigma_high) == (0, 0)
    assert (equal.psnr, equal.n, equal.not_finite) == (INF, 1, 1), "where all are, so is the mean"


def test_one_undefined_sample_makes_its_picture_undefined():
    rows = [row("1", "m", 1.0, name, psnr=values) for name, values in (("a", [math.nan, 3.0]), ("b", [4.0, 6.0]))]
    rows = [Row.from_json(row.to_json()) for row in rows]
    summary = ResultTable.from_rows(rows, ("psnr",)).summary().iloc[0]
    assert (summary.psnr, summary.n, summary.not_finite) == (5.0, 2, 1)


def test_csv_has_the_columns_of_the_suite(table, tmp_path):
    write_csv(table, table.summary(), tmp_path)
    assert (tmp_path / "table.csv").read_text().splitlines() == [
        "model,temperature,psnr,ssim,lpips,lr_psnr,niqe,brisque,pique,sigma,n,"
        "psnr_low,psnr_high,sigma_low,sigma_high,not_finite",
        "zebra,,30.0,,,,,,,0.0,2,,,0.0,0.0,1",
        "ape,0.8,17.5,,,,,,,3.0,2,15.0,20.0,2.0,4.0,0",
        "ape,0.0,inf,,,,,,,0.0,1,,,,,1",
    ]


def test_csv_holds_the_same_numbers(tmp_path):
    """Read by pandas: thirds and names with commas, quotes and line ends included.

    Numbers are read by Python, exactly: how exact pandas' own reading is differs from version to version.
    """
    names = ["a,b", 'c"d', "e\nf", "=1+1", "ü 漢"]
    rows = [row(name, "m", 0.1, name, psnr=[k / 3, k / 7], sigma=k / 9) for k, name in enumerate(names)]
    table = ResultTable.from_rows(rows, ("psnr", "sigma"))
    write_csv(table, table.summary(), tmp_path)
    back = pd.read_csv(tmp_path / "rows.csv", converters={"value": float}, dtype={"sample": "Int64"})
    expected = table.values.assign(sample=pd.array([0, 1, pd.NA] * 5, dtype="Int64"))
    pd.testing.assert_frame_equal(back, expected, check_dtype=False, check_exact=True)
    summary = table.summary()
    exactly = dict.fromkeys(summary.select_dtypes("float").columns, lambda text: float(text or "nan"))
    means = pd.read_csv(tmp_path / "table.csv", converters=exactly).set_index(["model", "temperature"])
    pd.testing.assert_frame_equal(means[summary.columns], summary, check_exact=True)


def test_metrics_of_others_follow(tmp_path):
    rows = [row("1", "m", None, "a", psnr=[1.0], dists=[0.5])]
    table = ResultTable.from_rows(rows, ("dists", "psnr"))
    write_csv(table, table.summary(), tmp_path)
    assert ",pique,sigma,n,dists,dists_low,dists_high,psnr_low," in (tmp_path / "table.csv").read_text()


def write_rows(folder, rows, end="\n"):
    (folder / "rows.jsonl").write_text("\n".join(r if isinstance(r, str) else r.to_json() for r in rows) + end)


def test_planned_rows_come_in_the_order_of_the_plan(tmp_path):
    write_rows(tmp_path, ROWS)
    write_manifest(tmp_path, {"keys": ["5", "9", "1"], "metrics": [{"name": "psnr"}]})
    assert read_rows(tmp_path) == [ROWS[4], ROWS[0]]
    assert list(ResultTable.from_run(tmp_path).summary()["psnr"]) == [20.0, 30.0]
    write_manifest(tmp_path, {"keys": ["9"], "metrics": []})
    with pytest.raises(ResultsError, match="nothing is measured yet"):
        read_rows(tmp_path)


def test_a_torn_last_line_is_left_out(tmp_path):
    write_rows(tmp_path, [*ROWS[:2], ROWS[2].to_json()[:40]], end="")
    assert list(read_all_rows(tmp_path)) == ["1", "2"]
    assert read_all_rows(tmp_path / "absent") == {}


def test_damage_elsewhere_is_named(tmp_path):
    write_rows(tmp_path, [ROWS[0], "no json", ROWS[1]])
    with pytest.raises(ResultsError, match=r"rows\.jsonl: line 2 is damaged"):
        read_all_rows(tmp_path)
