from __future__ import annotations

from io import BytesIO
from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from srbench.images.box import Box
from srbench.reporting.figures.strips import difference_window, figure_bytes, part_of


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def written(levels, rows=1, size=(40, 40), width=6.0) -> np.ndarray:
    """A figure of LR, outputs and HR of one level each: LR 10, HR 250."""

    def grey(level, scale=1):
        return np.full((max(size[1] // scale, 1), max(size[0] // scale, 1), 3), level, np.uint8)

    outputs = {f"model {level}": (grey(level), []) for level in levels}
    return opened(figure_bytes([part_of("a", grey(10, 4), grey(250), outputs, [], [], 4)], width, rows, 100))


def along(sheet: np.ndarray, y: float) -> list[int]:
    """Levels of the images along a row of dots, from left to right; white and frames, which are narrow, are skipped."""
    runs = [(int(level), len([*run])) for level, run in groupby(sheet[round(y), :, 0])]
    return [level for level, _ in groupby(level for level, length in runs if level != 255 and length > 9)]


def test_one_row_shows_the_whole_and_every_window():
    sheet = written([50, 90])
    assert along(sheet, 50) == [250, 10, 50, 90, 250]
    assert (sheet[:100] != 255).any(axis=2).mean() > 0.95


@pytest.mark.parametrize(
    ("levels", "first", "second"),
    [
        ([50, 90, 130, 170], [250, 10, 50, 250], [250, 90, 130, 170]),  # beside the large whole image
        ([50, 90, 130], [250, 10, 250], [50, 90, 130]),  # the whole image is a cell, and none is empty
    ],
)
def test_hr_ends_the_first_of_two_rows_and_no_cell_is_empty(levels, first, second):
    sheet = written(levels, 2)
    assert along(sheet, 50) == first
    assert along(sheet, 0.7 * len(sheet)) == second


@pytest.mark.parametrize("size", [(4000, 8), (1, 1), (1, 3000), (481, 3)])
@pytest.mark.parametrize("rows", [1, 2])
def test_images_of_any_shape_have_figures(size, rows):
    sheet = written([50, 90, 130], rows, size)
    assert sheet.shape[1] == 600
    assert (sheet == (232, 0, 11)).all(axis=2).any(), "windows have frames"


def test_a_window_is_magnified_pixel_by_pixel():
    """At 100 dots per inch, the four cells and three gaps of 4 inches are 97 dots and 4 dots wide."""
    image = np.asarray(noise(40, 40))
    part = part_of("a", None, image, {"m": (image, []), "n": (image, [])}, [Box(8, 16, 3, 3)], [], 1)
    sheet = opened(figure_bytes([part], 4.0, 1, 100))
    centres = [round(97 * (place + 0.5) / 3) for place in range(3)]
    assert (sheet[np.ix_(centres, [101 + x for x in centres])] == image[16:19, 8:11]).all()


def test_the_window_lies_where_images_differ_most():
    one = np.full((320, 400, 3), 90, dtype=np.uint8)
    one[:, 200:] = np.asarray(noise(200, 320))  # all have this detail: no difference
    other, third = one.copy(), one.copy()
    other[168:248, 40:120] += 30
    third[0:80, 0:80] += 20
    assert difference_window([one, other, third], step=8) == Box(40, 168, 80, 80)


@pytest.mark.parametrize(("width", "height", "step", "side"), [(400, 300, 3, 78), (64, 40, 8, 40), (4, 4, 4, 4)])
def test_the_window_cuts_no_lr_pixel(width, height, step, side):
    window = difference_window([np.asarray(noise(width, height, k)) for k in range(2)], step)
    assert window.width == window.height == side
    assert window.x % step == window.y % step == 0
    assert window.x + side <= width
    assert window.y + side <= height
