from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import matplotlib
import pytest

from srbench.reporting.plots import write_plots
from srbench.reporting.scores import score
from srbench.results import ResultTable, Row

FACTS = [("psnr", "PSNR", True, "dB"), ("lpips", "LPIPS", False, ""), ("lr_psnr", "LR-PSNR", True, "dB")]
METRICS = [
    {"name": name, "title": title, "higher_is_better": up, "unit": unit, "digits": 2, "protocol": ""}
    for name, title, up, unit in FACTS
]
HOSTILE = r"</svg><script>alert(1)</script> $\frac{-- >]]> & é 漢"


def rows(*settings, pictures=4, psnr=20.0):
    return [
        Row(f"{model}{temperature}{k}", model, temperature, "d", str(k), 4, 2, 0, "s",
            {"psnr": [psnr + place + k] * 2, "lpips": [0.5 - place / 10 + k / 50] * 2, "lr_psnr": [40.0 + k] * 2},
            0.1 + place, 0.1, 1.0)
        for place, (model, temperature) in enumerate(settings)
        for k in range(pictures)
    ]  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def call(rows, metrics=METRICS, models=(), folder="run"):
        table = ResultTable.from_rows(rows, tuple(metric["name"] for metric in metrics))
        plots = write_plots(score(table, table.summary(), metrics), table, rows, models, tmp_path / folder)
        files = {path.name: path.read_text() for path in (tmp_path / folder / "plots").iterdir()}
        assert sorted(files) == sorted(plot.file for plot in plots)
        for text in files.values():
            assert ET.fromstring(text).tag.endswith("svg")
        return files

    return call


def test_what_is_plotted(written):
    every = {"plane.svg", "consistency.svg", "distributions.svg", "speed.svg", "temperature.svg"}
    assert set(written(rows(("m", None), ("flow", 0.0), ("flow", 0.8)))) == every
    assert set(written(rows(("m", None), ("flow", 0.8)))) == every - {"temperature.svg"}, "the old one is removed"
    assert set(written(rows(("m", None)))) == {"distributions.svg"}, "one model has nothing to be compared with"
    assert set(written(rows(("m", None), ("n", None)), METRICS[2:])) == {"distributions.svg"}


def test_the_same_bytes_whatever_the_users_settings(written):
    settings = ("m", None), ("flow", 0.0), ("flow", 0.8)
    first = written(rows(*settings))
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "svg.hashsalt": None}):
        assert written(rows(*settings)) == first
        assert matplotlib.rcParams["font.size"] == 20, "and they are left alone"
    assert not re.search(r"\d{4}-\d\d-\d\d", first["plane.svg"]), "no date"


def test_values_that_are_not_finite_leave_no_mark(written):
    good = rows(("m", None), ("flow", 0.0), ("flow", 0.8))
    bad = rows(("equal", None), psnr=math.inf)
    with_bad = written(good + bad)
    assert "nan" not in with_bad["plane.svg"].lower()
    assert with_bad["plane.svg"].count("<use") < written(good + rows(("equal", None)))["plane.svg"].count("<use")


def test_losses_are_plotted_where_weights_carry_them(written):
    bare = {"label": "m", "weights": None}
    old = {"label": "n", "weights": {"parameters": 3}}
    trained = {"label": "flow", "weights": {"losses": {"nll": [3.0, 1.0, 0.5], "gradient": [9.0]}}}
    measured = rows(("m", None))
    assert "training.svg" not in written(measured, models=[bare, old])
    with_curve = written(measured, models=[bare, old, trained])["training.svg"]
    other = {"label": "flow", "weights": {"losses": {"nll": [3.0, 1.5, 0.5], "gradient": [9.0]}}}
    assert with_curve != written(measured, models=[other])["training.svg"]


def test_names_of_users_stay_text(written):
    hostile = {"label": HOSTILE, "weights": {"losses": {HOSTILE: [1.0, 0.5]}}}
    for text in written(rows((HOSTILE, None), ("flow", 0.0), ("flow", 0.8)), models=[hostile]).values():
        assert "<script" not in text
        assert {child.tag.rpartition("}")[2] for child in ET.fromstring(text)} <= {"metadata", "defs", "g"}
