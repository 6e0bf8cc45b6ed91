"""Labelled images side by side on a white sheet: strips with a zoomed window, sheets in rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srbench.images.io import png_of

PANEL = 240
"""Width of a panel in pixels: four fit the column of a web page."""
WINDOW = 80
"""Side of the zoomed window in HR pixels, where the image is that large."""

_COLUMNS = 4
_MARGIN, _GAP, _LABEL = 16, 12, 46
_INK, _GREY, _BOX = (20, 20, 20), (110, 110, 110), (255, 45, 45)


@dataclass(frozen=True)
class Panel:
    """One image of a strip, as large as HR, in RGB or with a palette, and the two lines above it."""

    title: str
    note: str
    image: Image.Image


@dataclass(frozen=True)
class Window:
    """The square of an image that is zoomed, in pixels."""

    left: int
    top: int
    side: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom, as Pillow's crop takes it."""
        return self.left, self.top, self.left + self.side, self.top + self.side


def strip_png(panels: list[Panel], window: Window) -> bytes:
    """The panels as one PNG; up to four stand in a row, more are wrapped into even rows.

    Under its two lines a panel shows the image downscaled to 240 pixels (a smaller one is upscaled by a whole
    number and keeps its pixels), and beneath it the window, upscaled by a whole number.
    """
    rows = -(-len(panels) // _COLUMNS)
    columns = -(-len(panels) // rows)
    tiles = [_tile(panel, window) for panel in panels]
    return _tiles_png([tiles[first : first + columns] for first in range(0, len(tiles), columns)])


def sheet_png(rows: list[list[Panel]]) -> bytes:
    """Rows of panels as one PNG; each shows its whole image within 240 pixels."""
    return _tiles_png([[_tile(panel, None) for panel in row] for row in rows])


def difference_window(images: list[NDArray[np.uint8]], step: int) -> Window:
    """The window in which images (H, W, 3) differ most: their variance at every pixel, summed.

    Sides and corners are multiples of ``step`` (the scale): no LR pixel is cut. The first of equals wins.
    """
    variance = np.stack(images).astype(np.float32).var(axis=0).sum(axis=2, dtype=np.float64)
    side = min(WINDOW, *variance.shape)
    side = max(side - side % step, 1)
    scores = _box_sums(variance, side)[::step, ::step]
    top, left = np.unravel_index(np.argmax(scores), scores.shape)
    return Window(int(left) * step, int(top) * step, side)


def _box_sums(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Sums over every side x side square of (h, w) -> (h-side+1, w-side+1)."""
    table: NDArray[np.float64] = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    bands = table[side:] - table[:-side]
    return bands[:, side:] - bands[:, :-side]


def _tiles_png(rows: list[list[Image.Image]]) -> bytes:
    right, down = PANEL + _GAP, max(tile.height for row in rows for tile in row) + 2 * _GAP
    size = 2 * _MARGIN - _GAP + max(map(len, rows)) * right, 2 * _MARGIN - 2 * _GAP + len(rows) * down
    sheet = Image.new("RGB", size, "white")
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (_MARGIN + column * right, _MARGIN + row * down))
    return png_of(np.asarray(sheet))


def _tile(panel: Panel, window: Window | None) -> Image.Image:
    """Label, whole image with the window drawn in, window: one above the other, 240 wide."""
    whole, factor = _fitted(panel.image)
    zoomed = 0 if window is None else _GAP // 2 + PANEL // window.side * window.side
    tile = Image.new("RGB", (PANEL, _LABEL + whole.height + zoomed), "white")
    draw = ImageDraw.Draw(tile)
    draw.text((0, 0), _fitting(panel.title, 20), fill=_INK, font=_font(20))
    draw.text((0, 24), _fitting(panel.note, 13), fill=_GREY, font=_font(13))
    left = (PANEL - whole.width) // 2
    tile.paste(whole, (left, _LABEL))
    if window is not None:
        x0, y0, x1, y1 = (round(edge * factor) for edge in window.box)
        frame = (left + x0, _LABEL + y0, left + x1 - 1, _LABEL + y1 - 1)
        draw.rectangle(frame, outline=_BOX, width=2)
        side = PANEL // window.side * window.side
        detail = panel.image.crop(window.box).resize((side, side), Image.Resampling.NEAREST)
        tile.paste(detail, ((PANEL - side) // 2, _LABEL + whole.height + _GAP // 2))
    return tile


def _fitted(image: Image.Image) -> tuple[Image.Image, float]:
    """The image within 240 x 240 in RGB, and how much larger it became. Upscaling is by a whole number.

    Of a map the values are resized, which are the indices of its palette, and not the colours.
    """
    palette = image.getpalette() if image.mode == "P" else None
    values = image if palette is None else Image.fromarray(np.asarray(image))
    longest = max(image.size)
    if longest <= PANEL:
        size, way = tuple(side * (PANEL // longest) for side in image.size), Image.Resampling.NEAREST
    else:  # in half the time of a Lanczos window, which shows nothing more at this size
        size, way = tuple(max(round(side * PANEL / longest), 1) for side in image.size), Image.Resampling.HAMMING
    fitted = values.resize((size[0], size[1]), way)
    if palette is not None:
        fitted.putpalette(palette)
        fitted = fitted.convert("RGB")
    return fitted, fitted.width / image.width


@cache
def _font(size: int) -> Any:  # noqa: ANN401 - Pillow names it by what was found
    return ImageFont.load_default(size)


@cache
def _fitting(text: str, size: int) -> str:
    """The text, cut with an ellipsis where it would leave its panel."""
    font = _font(size)
    if font.getlength(text) <= PANEL:
        return text
    while text and font.getlength(text + "...") > PANEL:
        text = text[:-1]
    return text + "..."
