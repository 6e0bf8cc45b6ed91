"""Pictures for docs/zoo.md: sixteen samples of one detail, four by four, and the loss curves of trainings.

    python benchmarks/samples.py grid 8 books 96,96,128,128 0.75 docs/zoo/text-x8.png
    python benchmarks/samples.py losses docs/zoo/losses.png runs/rrdb runs/srflow runs/esrgan

A grid is of a packaged photograph and a box of HR pixels; above the samples stand LR, RRDB, ESRGAN and HR.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from srbench.datasets import packaged_photos
from srbench.registry import load_model

SAMPLES, COLUMNS, GAP, LARGER = 16, 4, 4, 2


def grid(scale: int, name: str, box: tuple[int, int, int, int], temperature: float, out: Path) -> None:
    """Write the grid of one detail, x, y, width, height in HR pixels; every picture is enlarged twice, pixel by pixel.

    The whole photograph is sampled, then cut: a detail of its own would miss its surroundings.
    """
    pair = packaged_photos(scale).read(name)
    rrdb, esrgan, srflow = (load_model(model, scale, "cpu").model for model in ("rrdb", "esrgan", "srflow"))
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
    sheet.save(out)


def losses(out: Path, trainings: Sequence[Path]) -> None:
    """Plot what every training printed, as a mean over a fiftieth of its steps, a panel each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(trainings), figsize=(4 * len(trainings), 3), squeeze=False)
    for panel, training in zip(panels[0], trainings, strict=True):
        rows = [json.loads(line) for line in (training / "losses.jsonl").read_text().splitlines()]
        window = max(len(rows) // 50, 1)
        loss = next(name for name in ("bits_per_dim", "perceptual", "l1") if name in rows[0])
        values = np.array([row[loss] for row in rows])[: len(rows) // window * window].reshape(-1, window).mean(1)
        panel.plot(np.arange(1, len(values) + 1) * window, values)
        panel.set(
            title=training.name, xlabel="step", ylabel=loss, ylim=(0.95 * values.min(), np.quantile(values, 0.95))
        )
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


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
        losses(Path(words[0]), [Path(word) for word in words[1:]])
