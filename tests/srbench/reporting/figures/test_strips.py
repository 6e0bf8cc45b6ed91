from __future__ import annotations

import math
from io import BytesIO
from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from srbench.images.box import Box
from srbench.interfaces import MetricInfo
from srbench.reporting.figures.error_maps import ERROR, coloured
from srbench.reporting.figures.strips import difference_window, figure_bytes, part_of


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def written(levels, rows=1, size=(40, 40), width=6.0, windows=(), name="model {}") -> np.ndarray:
    """A figure of LR, outputs and HR of one level each: LR 10, HR 250."""

    def grey(level, scale=1):
        return np.full((max(size[1] // scale, 1), max(size[0] // scale, 1), 3), level, np.uint8)

    outputs = {name.format(level): ([grey(level)], []) for level in levels}
    return opened(figure_bytes([part_of("a", grey(10, 4), grey(250), outputs, windows, [], 4)], width, rows, 100))


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


def test_a_wide_image_leaves_no_hole_beside_two_rows():
    sheet = written([50, 90, 130, 170], 2, (60, 40))
    hole = sheet[: round(0.8 * len(sheet)), :150]
    assert (hole != 255).all()


def test_no_cell_is_empty_beside_two_windows():
    sheet = written([50, 90, 130], 2, (40, 40), windows=[Box(0, 0, 20, 20), Box(20, 20, 20, 20)])
    rows = [along(sheet, len(sheet) * (place + 0.3) / 4) for place in range(4)]
    assert rows == [[250, 10, 250], [50, 90, 130]] * 2


def test_long_names_of_neighbours_do_not_touch():
    sheet = written([50, 90, 130, 170], name="m{}" + "n" * 40)
    for edge in (257, 343, 429):
        inked = np.flatnonzero(sheet[84:, edge - 40 : edge + 40].min(axis=(0, 2)) < 200)
        assert max(np.diff(inked)) >= 5, "dots of 1/100 inch"


@pytest.mark.parametrize("size", [(4000, 8), (1, 1), (1, 3000), (481, 3)])
@pytest.mark.parametrize("rows", [1, 2])
def test_images_of_any_shape_have_figures(size, rows):
    sheet = written([50, 90, 130], rows, size)
    assert sheet.shape[1] == 600
    assert (sheet == (232, 0, 11)).all(axis=2).any(), "windows have frames"


def test_a_window_is_magnified_pixel_by_pixel():
    """At 100 dots per inch, the four cells and three gaps of 4 inches are 97 dots and 4 dots wide."""
    image = np.asarray(noise(40, 40))
    part = part_of("a", None, image, {"m": ([image], []), "n": ([image], [])}, [Box(8, 16, 3, 3)], [], 1)
    sheet = opened(figure_bytes([part], 4.0, 1, 100))
    centres = [round(97 * (place + 0.5) / 3) for place in range(3)]
    assert (sheet[np.ix_(centres, [101 + x for x in centres])] == image[16:19, 8:11]).all()


def test_the_best_printed_values_are_bold_but_not_a_single_one():
    image = np.asarray(noise(8, 8))
    metrics = [
        MetricInfo(name=name, title=name, direction=direction, protocol="", digits=1)
        for name, direction in (("up", 1), ("down", -1), ("neither", 0))
    ]
    outputs = {
        "m": ([image], [1.04, 2.0, 9.0]),
        "n": ([image], [0.96, 1.0, 1.0]),
        "o": ([image], [None, math.nan, 0.0]),
    }
    panels = part_of("a", None, image, outputs, [], metrics, 1).panels
    words = [[panel.lines[1].split()[place] for place in sorted(panel.bold)] for panel in panels[:-1]]
    assert words == [["1.0"], ["1.0", "1.0"], []]
    assert not panels[-1].bold
    assert not part_of("a", None, image, {"m": outputs["m"]}, [], metrics, 1).panels[0].bold


@pytest.mark.parametrize("lr", [[0], []])
def test_maps_stand_below_their_outputs(lr):
    """Errors of 16, 32 and 64 grey levels, and samples with a standard deviation of 8 times the root of 2."""

    def grey(level):
        return np.full((40, 40, 3), level, np.uint8)

    outputs = {"m": ([grey(116)], []), "n": ([grey(132), grey(148)], []), "o": ([grey(164)], [])}
    part = part_of("a", grey(0) if lr else None, grey(100), outputs, [], [], 1, samples=[1], maps=True)
    sheet = opened(figure_bytes([part], 6.0, 1, 100))
    palette = coloured(np.array([[16, 32, 64, 16 * math.sqrt(2)]], np.float32), ERROR).convert("RGB")
    *errors, spread = np.asarray(palette)[0, :, 0].tolist()
    assert along(sheet, 30) == [100, *lr, 116, 132, 164, 100]
    below = [along(sheet, share * len(sheet))[1:] for share in ([0.7] if lr else [0.5, 0.8])]
    assert below == ([[*errors, spread]] if lr else [errors, [spread]])
    places = [np.flatnonzero((sheet[:, :, 0] == level).sum(axis=0) > 40).mean() for level in (132, errors[1])]
    assert places[0] == pytest.approx(places[1], abs=1)


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
