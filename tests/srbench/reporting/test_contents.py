"""Images of a page as JSON."""

from __future__ import annotations

import base64
import math
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from srbench.reporting.page.contents import ABSENT, _address, _by_rule, _values

METRIC = SimpleNamespace(name="psnr", digits=2)


def rows(*values):
    return [None if value is None else SimpleNamespace(values={"psnr": value}) for value in values]


def numbers(found, kind):
    return np.frombuffer(base64.b64decode(found["data"]), kind).tolist()


def test_values_are_short_floats_with_gaps_where_samples_or_rows_are_missing():
    found = _values(rows([23.5, 24.25], None, [math.inf]), METRIC)
    assert found["samples"] == 2
    assert numbers(found, "<f4") == [23.5, 24.25, ABSENT, ABSENT, math.inf, ABSENT]
    of_the_set = _values(rows(4.5, math.nan), METRIC)
    assert of_the_set["samples"] == 0
    assert numbers(of_the_set, "<f4") == pytest.approx([4.5, math.nan], nan_ok=True)
    assert _values(rows(None, None), METRIC) is None


@pytest.mark.parametrize("large", [1_234_567.891, 1e300])
def test_values_that_short_floats_would_move_are_long(large):
    assert numbers(_values(rows(large), METRIC), "<f8") == [large]


def test_addresses_follow_from_names_where_they_do(tmp_path):
    addresses = ["../images/lr/a.png", "../images/lr/b.png", None, "../images/lr/d.png", "data:image/webp;base64,AA"]
    found = _by_rule(list("abcdf"), addresses)
    assert (found["folder"], found["ending"], found["ranges"]) == ("../images/lr/", ".png", [[0, 2], [3, 4]])
    assert found["others"] == {4: "data:image/webp;base64,AA"}
    odd = _by_rule(["a", "b"], ["../images/lr/a.png", "../else where/b.png"])
    assert odd["others"] == {1: "../else%20where/b.png"}


def test_images_are_linked_from_the_report_of_their_run_and_embedded_elsewhere(tmp_path):
    run = tmp_path / "run"
    file = run / "images" / "lr" / "a.png"
    file.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(file)
    (run / "manifest.json").write_text("{}")
    assert _address(run / "report", file) == "../images/lr/a.png"
    assert _address(tmp_path / "report", file).startswith("data:image/webp;base64,")
