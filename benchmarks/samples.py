"""Figures for docs/zoo.md: samples of details; the packaged models' losses; meshes in samples.

    python benchmarks/samples.py grid srflow 8 o4 96,112,128,128 0.84 docs/zoo/text-x8.jpg
    python benchmarks/samples.py details 8 docs/zoo/details-x8.jpg
    python benchmarks/samples.py losses docs/zoo/losses.svg
    python benchmarks/samples.py mesh srflow-perceptual 8 oakland-zoo-otters 128,160,192,192 0.8

A grid is of a packaged photograph and a box of HR pixels: sixteen samples, and above them LR, RRDB, ESRGAN and HR.
Details are a row each: LR, RRDB, ESRGAN, two samples of SRFlow, two of SRFlow after its second stage, HR. For a mesh,
let the box begin at multiples of the scale.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from srbench.api import load_model
from srbench.data.datasets import packaged_photos
from srbench.images.io import write_whole
from srbench.interfaces import ImagePair
from srbench.system.plot_style import COLOURS, new_figure, plot_style, svg
from srbench.training.patterns import edges_on_grid, stripes

SAMPLES, COLUMNS, GAP, LARGER = 16, 4, 4, 2
SHOWN = ("rrdb", "esrgan", "srflow", "srflow-perceptual")
LOSSES = ("bits_per_dim", "perceptual", "l1")
"""The one of a model that is plotted is the first of these that it has."""


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
TEMPERATURES = {4: {"srflow": 0.85, "srflow-perceptual": 0.85}, 8: {"srflow": 0.84, "srflow-perceptual": 0.75}}
"""Chosen on validation images: docs/zoo.md."""
WINDOW = 64
"""Side of the windows whose spectra are averaged, in pixels."""


def grid(model: str, scale: int, name: str, box: Box, temperature: float, out: Path) -> None:
    """Write the grid of one detail; every image is shown at twice its size, pixel by pixel.

    The whole photograph is sampled, then cut: a detail of its own would miss its surroundings.
    """
    pair, drawn = _drawn(model, scale, name, temperature)
    rrdb, esrgan = (load_model(other, scale, "cpu") for other in ("rrdb", "esrgan"))
    x, y, width, height = box
    with torch.no_grad():
        repeated = pair.lr.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        images = [repeated, rrdb(pair.lr[None])[0], esrgan(pair.lr[None])[0], pair.hr, *drawn]
    tiles = [_tile(image[:, y : y + height, x : x + width]) for image in images]
    right, down = tiles[0].width + GAP, tiles[0].height + GAP
    rows = len(tiles) // COLUMNS
    sheet = Image.new("RGB", (COLUMNS * right - GAP, rows * down + GAP), "white")
    for place, tile in enumerate(tiles):
        row, column = divmod(place, COLUMNS)
        sheet.paste(tile, (column * right, row * down + (2 * GAP if row else 0)))
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, quality=90)


def details(scale: int, out: Path) -> None:
    """Write a sheet of all DETAILS, every image at twice its size."""
    rows = [_detail(scale, name, box) for name, box in DETAILS.items()]
    right, down = rows[0][0].width + GAP, rows[0][0].height + GAP
    sheet = Image.new("RGB", (len(rows[0]) * right - GAP, len(rows) * down - GAP), "white")
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (column * right, row * down))
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, quality=88)


def _detail(scale: int, name: str, box: Box) -> list[Image.Image]:
    """LR, RRDB, ESRGAN, samples, HR; whole photographs are sampled, then cut."""
    x, y, width, height = box
    shown = []
    for model, temperature in TEMPERATURES[scale].items():
        pair, drawn = _drawn(model, scale, name, temperature, 2)
        shown += [*drawn]
    repeated = pair.lr.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    with torch.no_grad():
        others = [load_model(other, scale, "cpu")(pair.lr[None])[0] for other in ("rrdb", "esrgan")]
    return [_tile(image[:, y : y + height, x : x + width]) for image in (repeated, *others, *shown, pair.hr)]


def mesh(model: str, scale: int, name: str, box: Box, temperature: float) -> None:
    """Print the spectral peak and the edges on the LR grid of HR, of other models' outputs and of samples in a box."""
    pair, drawn = _drawn(model, scale, name, temperature)
    with torch.no_grad():
        others = {name: load_model(name, scale, "cpu")(pair.lr[None]) for name in ("rrdb", "esrgan")}
    x, y, width, height = box
    for label, images in {"HR": pair.hr[None], **others, f"{model} at {temperature:g}": drawn}.items():
        part = images[..., y : y + height, x : x + width].clamp(0, 1)
        height_of_peak, period = spectral_peak(part)
        places, (columns, rows) = edges_on_grid(part, scale), stripes(part).mean(0)
        print(
            f"{label}: peak 10^{height_of_peak:.2f} at a period of {period:.1f} pixels, edges of {places.min():.2f} to "
            f"{places.max():.2f} on the LR grid, stripes of 10^{columns:.2f} and 10^{rows:.2f}"
        )


def spectral_peak(images: Tensor) -> tuple[float, float]:
    """How far the power of luma (n, 3, h, w) at one frequency stands above that at others of its magnitude.

    The greatest log10 of power over the median power of frequencies as high (within 0.03 cycles a pixel), among periods
    of 2 to 8 pixels; and that period. Periodograms of half overlapping Hann windows are averaged (Welch, 1967).
    """
    luma = (images.clamp(0, 1) * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1).double()
    windows = luma.unfold(1, WINDOW, WINDOW // 2).unfold(2, WINDOW, WINDOW // 2).flatten(0, 2)
    hann = torch.hann_window(WINDOW, dtype=torch.float64)
    tapered = (windows - windows.mean((1, 2), keepdim=True)) * hann[:, None] * hann
    power = torch.fft.fft2(tapered).abs().square().mean(0).flatten()
    steps = torch.fft.fftfreq(WINDOW, dtype=torch.float64)
    magnitude = torch.hypot(*torch.meshgrid(steps, steps, indexing="ij")).flatten()
    peaks = [
        (
            float((power[at] / power[(magnitude - magnitude[at]).abs() < 0.03].median()).log10()),
            1 / float(magnitude[at]),
        )
        for at in ((magnitude >= 1 / 8) & (magnitude <= 1 / 2)).nonzero().flatten()
    ]
    return max(peaks)


def _drawn(model: str, scale: int, name: str, temperature: float, n: int = SAMPLES) -> tuple[ImagePair, Tensor]:
    """A packaged photograph and n samples of it."""
    pair, sampler = packaged_photos(scale).read(name), load_model(model, scale, "cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return pair, sampler.sample(pair.lr, n, temperature=temperature, generator=generator)


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


def _tile(image: Tensor) -> Image.Image:
    levels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    tile = Image.fromarray(levels)
    return tile.resize((LARGER * tile.width, LARGER * tile.height), Image.Resampling.NEAREST)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "losses":
        losses(Path(words[0]))
    elif what == "details":
        details(int(words[0]), Path(words[1]))
    else:
        model, scale, name, numbers, temperature, *out = words
        x, y, width, height = map(int, numbers.split(","))
        detail = model, int(scale), name, (x, y, width, height), float(temperature)
        grid(*detail, Path(out[0])) if out else mesh(*detail)
