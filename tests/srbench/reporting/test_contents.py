"""Images of a page as JSON."""

from __future__ import annotations

import math
from types import SimpleNamespace

from PIL import Image

from srbench.reporting.page.contents import _address, _by_pattern, _values

METRIC = SimpleNamespace(name="psnr", digits=2)


def rows(*values):
    return [None if value is None else SimpleNamespace(values={"psnr": value}) for value in values]


def test_values_have_two_digits_more_than_are_printed_and_gaps_where_rows_are_missing():
    found = _values(rows([23.512345, 24.25], None, [math.inf, -math.inf], math.nan), METRIC)
    assert found == [[23.5123, 24.25], None, ["inf", "-inf"], "nan"]
    assert _values(rows(None, None), METRIC) is None


def test_addresses_follow_from_names_where_they_do():
    addresses = ["../images/lr/a.png", "../images/lr/b.png", None, "../images/lr/d.png", "data:image/webp;base64,AA"]
    found = _by_pattern(list("abcdf"), addresses)
    assert found == {"pattern": ("../images/lr/", ".png"), "others": {2: None, 4: "data:image/webp;base64,AA"}}
    odd = _by_pattern(["a", "b"], ["../images/lr/a.png", "../else where/b.png"])
    assert odd["others"] == {1: "../else%20where/b.png"}
    assert _by_pattern(["a", "b"], [None, None]) == {"pattern": None, "others": {}}


def test_images_are_linked_from_the_report_of_their_run_and_embedded_elsewhere(tmp_path):
    run = tmp_path / "run"
    file = run / "images" / "lr" / "a.png"
    file.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(file)
    (run / "manifest.json").write_text("{}")
    assert _address(run / "report", file) == "../images/lr/a.png"
    assert _address(tmp_path / "report", file).startswith("data:image/webp;base64,")
