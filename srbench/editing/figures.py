"""A figure of an edit: images side by side, each with two lines above it and boxes drawn in."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from srbench.images.io import quantize_floor, write_whole
from srbench.interfaces import Box

SOURCE, TARGET, ZOOMED = (40, 130, 255), (255, 60, 40), (255, 200, 0)
"""Colours of boxes: source, target, and the part that is zoomed beneath."""

_SIDE = 320
_COLUMNS = 4
_MARGIN, _GAP, _LABEL = 12, 12, 44
_INK, _GREY = (20, 20, 20), (100, 100, 100)


@dataclass(frozen=True)
class FigurePanel:
    """One image of a figure."""

    title: str
    note: str
    image: Tensor
    """Pixels (3, H, W) in [0, 1]."""
    boxes: dict[tuple[int, int, int], Box] = field(default_factory=dict)
    """Colour -> box to draw."""


def write_figure(path: Path, panels: list[FigurePanel], zoomed: Box | None = None) -> None:
    """Write the panels as one PNG, in even rows of up to four; beneath each image the same box of it, zoomed.

    An image below 320 pixels is upscaled by a whole number and keeps its pixels, one above 640 is downscaled.
    """
    tiles = [_tile(panel, zoomed) for panel in panels]
    rows = -(-len(tiles) // _COLUMNS)
    columns = -(-len(tiles) // rows)
    width, height = (max(side) + _GAP for side in zip(*(tile.size for tile in tiles), strict=True))
    sheet = Image.new("RGB", (2 * _MARGIN - _GAP + columns * width, 2 * _MARGIN - _GAP + rows * height), "white")
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        sheet.paste(tile, (_MARGIN + column * width, _MARGIN + row * height))
    buffer = BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    write_whole(path, buffer.getvalue())


def _tile(panel: FigurePanel, zoomed: Box | None) -> Image.Image:
    array = quantize_floor(panel.image).permute(1, 2, 0).cpu().numpy()
    whole = Image.fromarray(array)
    image, factor = _fitted(whole)
    detail = None if zoomed is None else _detail(whole, zoomed, image.width)
    height = _LABEL + image.height + (0 if detail is None else _GAP // 2 + detail.height)
    tile = Image.new("RGB", (image.width, height), "white")
    draw = ImageDraw.Draw(tile)
    draw.text((0, 0), panel.title, fill=_INK, font=ImageFont.load_default(18))
    draw.text((0, 24), panel.note, fill=_GREY, font=ImageFont.load_default(13))
    tile.paste(image, (0, _LABEL))
    boxes = panel.boxes if zoomed is None or zoomed in panel.boxes.values() else panel.boxes | {ZOOMED: zoomed}
    for colour, box in boxes.items():
        left, top = round(box.x * factor), round(box.y * factor)
        right, bottom = (min(left + round(box.width * factor), image.width),
                         min(top + round(box.height * factor), image.height))  # fmt: skip
        draw.rectangle((left, _LABEL + top, right - 1, _LABEL + bottom - 1), outline=colour, width=2)
    if detail is not None:
        tile.paste(detail, ((image.width - detail.width) // 2, height - detail.height))
    return tile


def _detail(whole: Image.Image, box: Box, width: int) -> Image.Image:
    """A box of an image, upscaled by a whole number as far as it fits the width and half as much again in height."""
    part = whole.crop((box.x, box.y, min(box.x + box.width, whole.width), min(box.y + box.height, whole.height)))
    factor = max(1, min(width // part.width, width * 3 // 2 // part.height))
    part = part.resize((part.width * factor, part.height * factor), Image.Resampling.NEAREST)
    return part.crop((0, 0, min(part.width, width), part.height))


def _fitted(image: Image.Image) -> tuple[Image.Image, float]:
    longest = max(image.size)
    if longest > 2 * _SIDE:
        factor = 2 * _SIDE / longest
        size = round(image.width * factor), round(image.height * factor)
        return image.resize(size, Image.Resampling.LANCZOS), factor
    whole = -(-_SIDE // longest)
    return image.resize((image.width * whole, image.height * whole), Image.Resampling.NEAREST), whole
