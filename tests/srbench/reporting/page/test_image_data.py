"""Images of a page as JSON."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from srbench.reporting.page.image_data import _addresses, _values

METRIC = SimpleNamespace(name="psnr", digits=2)


def rows(*values):
    return [None if value is None else SimpleNamespace(values={"psnr": value}) for value in values]


def test_values_have_two_digits_more_than_are_printed_and_gaps_where_rows_are_missing():
    found = _values(rows([23.512345, 24.25], None, [math.inf, -math.inf], math.nan), METRIC)
    assert found == [[23.5123, 24.25], None, ["inf", "-inf"], "nan"]
    assert _values(rows(None, None), METRIC) is None


@pytest.fixture
def images(tmp_path):
    """Two images of a run, ``tmp_path / "run"``."""
    files = [tmp_path / "run" / "images" / "lr" / f"{name}.png" for name in "ab"]
    files[0].parent.mkdir(parents=True)
    for file in files:
        Image.new("RGB", (4, 4)).save(file)
    (tmp_path / "run" / "manifest.json").write_text("{}")
    return files


def test_images_are_linked_from_the_report_of_their_run_and_embedded_elsewhere(tmp_path, images):
    linked = _addresses(tmp_path / "run" / "report", images)
    assert linked == {images[0]: "../images/lr/a.png", images[1]: "../images/lr/b.png"}
    embedded = _addresses(tmp_path / "report", images)
    assert [address.partition(",")[0] for address in embedded.values()] == ["data:image/webp;base64"] * 2
    other = tmp_path / "other.png"
    Image.new("RGB", (4, 4)).save(other)
    mixed = _addresses(tmp_path / "run" / "report", [images[0], other])
    assert mixed[images[0]] == linked[images[0]]
    assert mixed[other].startswith("data:")


def test_the_manifest_is_looked_for_once(tmp_path, images, monkeypatch):
    looked_for = []
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: looked_for.append(path.name) or is_file(path))
    _addresses(tmp_path / "run" / "report", images)
    assert looked_for == ["manifest.json"], "not for every image"
