from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from srbench.reporting.figures.page_images import HR, LR, Column, embed


@pytest.fixture
def files(tmp_path):
    """Three images with some noise, and their LR."""
    found = {}
    for seed, name in enumerate("abc"):
        ramp = np.linspace(40, 200, 96)[None, :, None] + np.zeros((64, 96, 3))
        noisy = ramp + np.random.default_rng(seed).normal(0, 12, ramp.shape)
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        found[name] = {LR: tmp_path / f"{name}_lr.png", HR: tmp_path / f"{name}.png"}
        image.save(found[name][HR])
        image.resize((24, 16)).save(found[name][LR])
    return found


def pixels(address):
    head, _, text = address.partition(";base64,")
    assert head == "data:image/webp"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"), dtype=float)


def size(embedded):
    return sum(len(address) for columns in embedded.addresses.values() for address in columns.values())


def test_images_are_exact_where_they_fit(files):
    embedded = embed(files, 10**6)
    assert embedded.quality is None
    assert list(embedded.addresses) == list("abc")
    for name, columns in files.items():
        for column, path in columns.items():
            assert np.array_equal(pixels(embedded.addresses[name][column]), np.asarray(Image.open(path)))


def test_else_they_are_compressed_and_lr_is_exact(files):
    exact = size(embed(files, 10**6))
    embedded = embed(files, exact - 1)
    assert (embedded.quality, embedded.all_samples, list(embedded.addresses)) == (90, True, list("abc"))
    assert size(embedded) < exact
    for name, columns in files.items():
        assert np.array_equal(pixels(embedded.addresses[name][LR]), np.asarray(Image.open(columns[LR])))


def test_else_without_further_samples(files):
    for found in files.values():
        for sample in range(4):
            found[Column(f"m_{sample + 1}", "", "m", 0.8, sample, 0)] = found[HR]
    compressed = embed({name: dict(list(found.items())[:2]) for name, found in files.items()}, 1)
    embedded = embed(files, 9 * size(compressed))
    assert (list(embedded.addresses), embedded.quality, embedded.all_samples) == (["a", "b", "c"], 80, False)
    assert [column.id for column in embedded.addresses["a"]] == ["lr", "hr", "m_1"]


def test_else_as_many_as_fit_in_their_order_and_one_always(files):
    lowest = size(embed({"a": files["a"]}, 1))
    embedded = embed(files, 2 * lowest)
    assert (list(embedded.addresses)[:1], embedded.quality) == (["a"], 80)
    assert len(embedded.addresses) < 3
    assert size(embedded) <= 2 * lowest
    assert list(embed(files, 1).addresses) == ["a"]
    assert embed({}, 1000).addresses == {}
