"""Pictures for docs/zoo.md: sixteen samples of one detail, four by four, and the loss curves of the packaged models.

    python benchmarks/samples.py grid 8 o4 96,112,128,128 0.84 docs/zoo/text-x8.jpg
    python benchmarks/samples.py losses docs/zoo/losses.svg

A grid is of a packaged photograph and a box of HR pixels; above the samples stand LR, RRDB, ESRGAN and HR.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from srbench.datasets import packaged_photos
from srbench.images import write_whole
from srbench.models import load_model
from srbench.svg import COLOURS, new_figure, plot_style, svg

SAMPLES, COLUMNS, GAP, LARGER = 16, 4, 4, 2
SHOWN = ("rrdb", "esrgan", "srflow")
LOSSES = ("bits_per_dim", "perceptual", "l1")
"""The one of a model that is plotted is the first of these that it has."""


def grid(scale: int, name: str, box: tuple[int, int, int, int], temperature: float, out: Path) -> None:
    """Write the grid of one detail, x, y, width, height in HR pixels; every picture is enlarged twice, pixel by pixel.

    The whole photograph is sampled, then cut: a detail of its own would miss its surroundings.
    """
    pair = packaged_photos(scale).read(name)
    rrdb, esrgan, srflow = (load_model(model, scale, "cpu").model for model in SHOWN)
    x, y, width, height = box
    with torch.no_grad():
        drawn = srflow.sample(pair.lr, SAMPLES, temperature=temperature, generator=torch.Generator().manual_seed(0))
        repeated = pair.lr.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        pictures = [repeated, rrdb(pair.lr[None])[0], esrgan(pair.lr[None])[0], pair.hr, *drawn]
    tiles = [_tile(picture[:, y : y + height, x : x + width]) for picture in pictures]
    right, down = tiles[0].width + GAP, tiles[0].height + GAP
    rows = len(tiles) // COLUMNS
    sheet = Image.new("RGB", (COLUMNS * right - GAP, rows * down + GAP), "white")
    for place, tile in enumerate(tiles):
        row, column = divmod(place, COLUMNS)
        sheet.paste(tile, (column * right, row * down + (2 * GAP if row else 0)))
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, quality=90)


def losses(out: Path) -> None:
    """Plot how the losses of the packaged models fell, as far as their weights carry them, a panel a model."""
    trained = {f"{model} {scale}x": load_model(model, scale, "cpu").weights for scale in (4, 8) for model in SHOWN}
    curves = {name: weights.losses for name, weights in trained.items() if weights is not None and weights.losses}
    with plot_style():
        figure = new_figure(3 * len(curves), 2.4)
        for axis, (name, found) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
            loss = next(known for known in LOSSES if known in found)
            axis.plot(np.linspace(0, 1, len(found[loss])), found[loss], color=COLOURS[0], linewidth=1.0)
            axis.set(title=name, xlabel="share of the training", ylabel=loss)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, svg(figure))


def _tile(picture: Tensor) -> Image.Image:
    levels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    tile = Image.fromarray(levels)
    return tile.resize((LARGER * tile.width, LARGER * tile.height), Image.Resampling.NEAREST)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "grid":
        scale, name, box, temperature, out = words
        x, y, width, height = map(int, box.split(","))
        grid(int(scale), name, (x, y, width, height), float(temperature), Path(out))
    else:
        losses(Path(words[0]))
