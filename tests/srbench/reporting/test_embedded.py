from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from srbench.reporting.page.images import HR, LR, Column, carry


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


def size(carried):
    return sum(len(address) for columns in carried.addresses.values() for address in columns.values())


def test_images_are_exact_where_they_fit(files):
    carried = carry(files, 10**6)
    assert carried.quality is None
    assert list(carried.addresses) == list("abc")
    for name, columns in files.items():
        for column, path in columns.items():
            assert np.array_equal(pixels(carried.addresses[name][column]), np.asarray(Image.open(path)))


def test_else_they_are_compressed_and_lr_is_exact(files):
    exact = size(carry(files, 10**6))
    carried = carry(files, exact - 1)
    assert (carried.quality, carried.all_samples, list(carried.addresses)) == (90, True, list("abc"))
    assert size(carried) < exact
    for name, columns in files.items():
        assert np.array_equal(pixels(carried.addresses[name][LR]), np.asarray(Image.open(columns[LR])))


def test_else_without_further_samples(files):
    for found in files.values():
        for sample in range(4):
            found[Column(f"m_{sample + 1}", "", "m", 0.8, sample, 0)] = found[HR]
    compressed = carry({name: dict(list(found.items())[:2]) for name, found in files.items()}, 1)
    carried = carry(files, 9 * size(compressed))
    assert (list(carried.addresses), carried.quality, carried.all_samples) == (["a", "b", "c"], 80, False)
    assert [column.id for column in carried.addresses["a"]] == ["lr", "hr", "m_1"]


def test_else_as_many_as_fit_in_their_order_and_one_always(files):
    lowest = size(carry({"a": files["a"]}, 1))
    carried = carry(files, 2 * lowest)
    assert (list(carried.addresses)[:1], carried.quality) == (["a"], 80)
    assert len(carried.addresses) < 3
    assert size(carried) <= 2 * lowest
    assert list(carry(files, 1).addresses) == ["a"]
    assert carry({}, 1000).addresses == {}
