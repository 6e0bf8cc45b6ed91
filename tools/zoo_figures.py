"""Figures for docs/zoo.md: samples of details, and training losses.

    python tools/zoo_figures.py grid srflow 8 o4 96,112,128,128 docs/zoo/text-x8.jpg
    python tools/zoo_figures.py details 8 docs/zoo/details-x8.jpg
    python tools/zoo_figures.py losses docs/zoo/losses.svg

A grid shows a box (HR pixels) of a packaged photograph: LR, RRDB, ESRGAN and HR, and below them sixteen samples.
Details have a row each: LR, RRDB, ESRGAN, two samples each of SRFlow, SRFlow after its second stage and the rectified
flow, HR. Samples are drawn at the temperatures that the weights state.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from drawn_images import loaded, outputs
from PIL import Image
from torch import Tensor

from srbench.data.datasets import packaged_photos
from srbench.files.atomic import write_whole
from srbench.interfaces import ImagePair
from srbench.pages.plot_style import COLOURS, arrange, new_figure, plot_style, svg

SAMPLES, COLUMNS, GAP, LARGER = 16, 4, 4, 2
SHOWN = ("rrdb", "esrgan", "srflow", "srflow-perceptual", "rectified-flow")
LOSSES = ("bits_per_dim", "perceptual", "flow_matching", "l1")
"""Losses in order of preference; the first that a model has is plotted."""

Box = tuple[int, int, int, int]
"""x, y, width, height in HR pixels."""
DETAILS: dict[str, Box] = {
    "o0": (128, 48, 128, 128),
    "oakland-zoo-otters": (128, 160, 128, 128),
    "o4": (96, 112, 128, 128),
    "singaporean-cityscape": (128, 96, 128, 128),
    "seeding-by-clements-engelhardt": (128, 128, 128, 128),
}
"""An eye, fur, lettering, a facade, foliage."""


def grid(model: str, scale: int, name: str, box: Box, out: Path) -> None:
    """Write the grid of a detail, every image at twice its size without interpolation."""
    pair = packaged_photos(scale).read(name)
    images = [_repeated(pair, scale), *(outputs(other, scale, pair.lr, 1)[0] for other in ("rrdb", "esrgan"))]
    tiles = [_tile(image, box) for image in (*images, pair.hr, *outputs(model, scale, pair.lr, SAMPLES))]
    rows = [tiles[at : at + COLUMNS] for at in range(0, len(tiles), COLUMNS)]
    _write_sheet(rows, out, quality=90, below_first=2 * GAP)


def details(scale: int, out: Path) -> None:
    """Write a sheet of all DETAILS, every image at twice its size."""
    _write_sheet([_detail(scale, name, box) for name, box in DETAILS.items()], out, quality=88)


def _write_sheet(rows: Sequence[Sequence[Image.Image]], out: Path, *, quality: int, below_first: int = 0) -> None:
    """Write rows of tiles of equal size, with ``below_first`` more pixels below the first row."""
    right, down = rows[0][0].width + GAP, rows[0][0].height + GAP
    size = len(rows[0]) * right - GAP, len(rows) * down - GAP + below_first
    sheet = Image.new("RGB", size, "white")
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (column * right, row * down + (below_first if row else 0)))
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, quality=quality)


def _detail(scale: int, name: str, box: Box) -> list[Image.Image]:
    """Return a row of tiles, cut from upscaled photographs, so that models see the surroundings of the detail."""
    pair = packaged_photos(scale).read(name)
    images = [image for model in SHOWN for image in outputs(model, scale, pair.lr, 2)]
    return [_tile(image, box) for image in (_repeated(pair, scale), *images, pair.hr)]


def _repeated(pair: ImagePair, scale: int) -> Tensor:
    return pair.lr.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


def losses(out: Path) -> None:
    """Plot the training losses stored in the weights of the packaged models, one panel per model and row per scale."""
    trained = {f"{model} {scale}x": loaded(model, scale, "cpu").weights for scale in (4, 8) for model in SHOWN}
    curves = {name: weights.losses for name, weights in trained.items() if weights is not None}
    with plot_style():
        figure = new_figure(3 * len(SHOWN), 4.8)
        axes = figure.subplots(2, len(SHOWN)).ravel()
        for axis, (name, by_loss) in zip(axes, curves.items(), strict=True):
            loss = next(known for known in LOSSES if known in by_loss)
            axis.plot(np.linspace(0, 1, len(by_loss[loss])), by_loss[loss], color=COLOURS[0], linewidth=1.0)
            axis.set(title=name, xlabel="share of the training", ylabel=loss)
        arrange(figure, len(SHOWN))
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, svg(figure))


def _tile(image: Tensor, box: Box) -> Image.Image:
    x, y, width, height = box
    part = image[:, y : y + height, x : x + width]
    tile = Image.fromarray((part.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
    return tile.resize((LARGER * tile.width, LARGER * tile.height), Image.Resampling.NEAREST)


if __name__ == "__main__":
    figure_kind, *words = sys.argv[1:]
    if figure_kind == "losses":
        losses(Path(words[0]))
    elif figure_kind == "details":
        details(int(words[0]), Path(words[1]))
    else:
        model, scale, name, numbers, out = words
        x, y, width, height = map(int, numbers.split(","))
        grid(model, int(scale), name, (x, y, width, height), Path(out))
