"""Images of a page as JSON."""

from __future__ import annotations

import base64
import math
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from srbench.reporting.page.contents import ABSENT, _addresses, _values
from srbench.reporting.report import write_report

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
    run = tmp_path / "run"
    Image.new("RGB", (4, 4)).save(tmp_path / "far.png")
    files = [run / "images/lr/a.png", run / "images/lr/b.png", None, run / "images/lr/d.png", tmp_path / "far.png"]
    found = _addresses(SimpleNamespace(path=run), list("abcdf"), files)
    assert (found["folder"], found["ending"], found["ranges"]) == ("images/lr/", ".png", [[0, 2], [3, 4]])
    assert list(found["others"]) == [4]
    assert found["others"][4].startswith("data:image/webp;base64,"), "an image elsewhere is embedded"
    odd = _addresses(SimpleNamespace(path=run), ["a", "b"], [run / "images/lr/a.png", run / "else where/b.png"])
    assert odd["others"] == {1: "else%20where/b.png"}


def test_a_page_alone_links_no_map_of_earlier_outputs(make_run, greys):
    """A report of all formats leaves maps; of new outputs they are not."""
    values = {("m", None): {"a": (20.0, 0.1), "b": (21.0, 0.2)}}
    run = make_run("run", values, greys=greys(10, 250, 60, 30))
    write_report([run])
    assert '"ending":"_error.png"' in write_report([run], ["html"]).files[0].read_text()
    run = make_run("run", values, greys=greys(10, 250, 61, 30))
    assert '"ending":"_error.png"' not in write_report([run], ["html"]).files[0].read_text()
