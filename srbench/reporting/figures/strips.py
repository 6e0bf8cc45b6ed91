"""Strips: labelled images on a white sheet, with a zoomed window below each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srbench.images.box import Box
from srbench.images.io import png_of

PANEL = 240
"""Width of a panel in pixels, so that four fit into the column of a web page."""
WINDOW = 80
"""Largest side of the zoomed window in HR pixels."""

Colour = tuple[int, int, int]
_COLUMNS = 4
_MARGIN, _GAP, _LABEL = 16, 12, 46
_INK, _GREY, _ZOOMED = (20, 20, 20), (110, 110, 110), (255, 45, 45)


@dataclass(frozen=True)
class Panel:
    """An image of a strip, of the size of HR in RGB, and the two lines of text above it."""

    title: str
    note: str
    image: Image.Image
    boxes: Mapping[Colour, Box] = field(default_factory=dict)
    """Boxes to draw, by colour."""


def strip_png(panels: list[Panel], zoomed: Box | None, side: int = PANEL) -> bytes:
    """Draw the panels as one PNG, in even rows of up to four.

    Below its two lines of text, a panel shows the image, downscaled to ``side`` pixels (or upscaled by an integer
    factor without interpolation), and below it the zoomed box, upscaled by an integer factor.
    """
    rows = -(-len(panels) // _COLUMNS)
    columns = -(-len(panels) // rows)
    tiles = [_tile(panel, zoomed, side) for panel in panels]
    right, down = side + _GAP, max(tile.height for tile in tiles) + 2 * _GAP
    size = 2 * _MARGIN - _GAP + columns * right, 2 * _MARGIN - 2 * _GAP + rows * down
    sheet = Image.new("RGB", size, "white")
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        sheet.paste(tile, (_MARGIN + column * right, _MARGIN + row * down))
    return png_of(np.asarray(sheet))


def difference_window(images: list[NDArray[np.uint8]], step: int) -> Box:
    """Return the square window with the largest sum of the variance over images (H, W, 3); ties go to the first.

    Sides and corners are multiples of ``step`` (the scale), so that no LR pixel is cut.
    """
    total, squares = sums(images)
    variance = (len(images) * squares - total**2).sum(axis=2)  # times a constant: integers, whose sums are exact
    side = min(WINDOW, *variance.shape)
    side = max(side - side % step, 1)
    scores = _box_sums(variance, side)[::step, ::step]
    top, left = np.unravel_index(np.argmax(scores), scores.shape)
    return Box(int(left) * step, int(top) * step, side, side)


def sums(images: list[NDArray[np.uint8]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums over images (h, w, 3) of their levels, and of the squares of their levels; both are exact."""
    total = np.zeros(images[0].shape, np.int32)
    squares = np.zeros_like(total)
    for image in images:
        levels = image.astype(np.int32)
        total += levels
        squares += levels * levels
    return total.astype(np.float64), squares.astype(np.float64)


def _box_sums(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Sum (h, w) over every side x side square -> (h-side+1, w-side+1)."""
    table: NDArray[np.float64] = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    bands = table[side:] - table[:-side]
    return bands[:, side:] - bands[:, :-side]


def _tile(panel: Panel, zoomed: Box | None, side: int) -> Image.Image:
    """Draw a panel ``side`` pixels wide: label, image with its boxes, and zoomed box below each other."""
    whole, factor = _fitted(panel.image, side)
    detail = None if zoomed is None else _detail(panel.image, zoomed, side)
    tile = Image.new("RGB", (side, _LABEL + whole.height + (_GAP // 2 + detail.height if detail else 0)), "white")
    draw = ImageDraw.Draw(tile)
    for text, top, size, colour in ((panel.title, 0, 20, _INK), (panel.note, 24, 13, _GREY)):
        draw.text((0, top), _fitting(text, size, side), fill=colour, font=_font(size, is_ascii=text.isascii()))
    left = (side - whole.width) // 2
    tile.paste(whole, (left, _LABEL))
    boxes = {**panel.boxes} if zoomed is None or zoomed in panel.boxes.values() else {**panel.boxes, _ZOOMED: zoomed}
    for colour, box in boxes.items():
        (x0, x1), (y0, y1) = (
            _shown(start * factor, (start + length) * factor, edge)
            for start, length, edge in ((box.x, box.width, whole.width), (box.y, box.height, whole.height))
        )
        draw.rectangle((left + x0, _LABEL + y0, left + x1, _LABEL + y1), outline=colour, width=2)
    if detail:
        tile.paste(detail, ((side - detail.width) // 2, _LABEL + whole.height + _GAP // 2))
    return tile


def _shown(start: float, end: float, edge: int) -> tuple[int, int]:
    """Return first and last pixel of a span in a panel, at least one pixel wide."""
    first = min(round(start), edge - 1)
    return first, max(min(round(end), edge) - 1, first)


def _detail(image: Image.Image, box: Box, side: int) -> Image.Image:
    """Cut a box out of an image and upscale it by an integer factor within ``side`` x ``side``."""
    part = image.crop((box.x, box.y, min(box.x + box.width, image.width), min(box.y + box.height, image.height)))
    factor = max(side // max(part.size), 1)
    part = part.resize((part.width * factor, part.height * factor), Image.Resampling.NEAREST)
    return part.crop((0, 0, min(part.width, side), min(part.height, side)))


def _fitted(image: Image.Image, side: int) -> tuple[Image.Image, float]:
    """Resize an image to fit ``side`` x ``side``; return it, and the factor, an integer if upscaled."""
    longest = max(image.size)
    if longest <= side:
        size, resampling = tuple(edge * (side // longest) for edge in image.size), Image.Resampling.NEAREST
    else:  # Hamming is faster than Lanczos, without a visible difference at this size
        size = tuple(max(round(edge * side / longest), 1) for edge in image.size)
        resampling = Image.Resampling.HAMMING
    fitted = image.resize((size[0], size[1]), resampling)
    return fitted, max(fitted.size) / longest


@cache
def _font(size: int, *, is_ascii: bool) -> Any:  # noqa: ANN401 - the type depends on Pillow's features
    """Return the font of a text: Pillow's, which lacks signs such as ², or else DejaVu Sans, which matplotlib brings."""
    if is_ascii:
        return ImageFont.load_default(size)
    import matplotlib as mpl

    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


@cache
def _fitting(text: str, size: int, width: int) -> str:
    """Shorten text with an ellipsis to fit ``width`` pixels."""
    font = _font(size, is_ascii=text.isascii())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
