"""Draw images with the hardest edges there are: saturated shapes, thin bright lines, flat lettering.

    python tools/drawn_images.py FOLDER 100    # write 100 images of 384x384 pixels, for training
    python tools/drawn_images.py 8             # measure the packaged models of this scale

Photographs hold few such edges, so a flow that was trained on photographs alone scatters there: a sample has pixels
of colours that are nowhere near in HR. Measured on twenty drawn images and on the packaged photographs. Images depend
on their numbers alone; training takes others than the measurement.
"""

from __future__ import annotations

import math
import random
import string
import sys
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from srbench.api import load_model
from srbench.data.datasets import packaged_photos
from srbench.images.io import write_png
from srbench.images.resize import downscale_uint8
from srbench.interfaces import ImagePair

FIRST = 1000
"""Number of the first image for training."""
MEASURED = 20
"""Number of images that are measured: 0 to 19."""
SAMPLES = 5
FAR = 90
"""Grey levels between a value and the range of HR's values nearby from which on a pixel counts as scattered."""
FINER = 4
"""Images are drawn this many times as large, and averaged."""
KINDS = ("shapes", "lines", "lettering")
Colour = tuple[int, int, int]
loaded = cache(load_model)
"""Loads every model only once."""


def drawn(number: int, side: int) -> Tensor:
    """Draw image ``number``: (3, side, side) uint8. Its kind is that of the number modulo 3 in KINDS."""
    chance = random.Random(number)
    whole = FINER * side
    kind = KINDS[number % len(KINDS)]
    background = chance.choice([(255, 255, 255) if kind == "lettering" else (0, 0, 0), _colour(chance)])
    image = Image.new("RGB", (whole, whole), background)
    draw = ImageDraw.Draw(image)
    {"shapes": _shapes, "lines": _lines, "lettering": _lettering}[kind](draw, whole, chance)
    small = np.array(image.resize((side, side), Image.Resampling.BOX))
    return torch.from_numpy(small).permute(2, 0, 1).contiguous()


def _colour(chance: random.Random) -> Colour:
    """Choose a colour; most are a corner of the RGB cube."""
    red, green, blue = (chance.choice((0, 255)) if chance.random() < 0.8 else chance.randrange(256) for _ in range(3))
    return red, green, blue


def _shapes(draw: ImageDraw.ImageDraw, side: int, chance: random.Random) -> None:
    for _ in range(chance.randrange(4, 14)):
        x, y = chance.uniform(0, side), chance.uniform(0, side)
        width, height = (side * chance.uniform(0.03, 0.3) for _ in range(2))
        box, fill = [x - width, y - height, x + width, y + height], _colour(chance)
        match chance.randrange(3):
            case 0:
                draw.ellipse(box, fill=fill)
            case 1:
                draw.rectangle(box, fill=fill)
            case _:
                angles = sorted(chance.uniform(0, 2 * math.pi) for _ in range(chance.randrange(3, 8)))
                draw.polygon([(x + width * math.cos(a), y + height * math.sin(a)) for a in angles], fill=fill)


def _lines(draw: ImageDraw.ImageDraw, side: int, chance: random.Random) -> None:
    colour = _colour(chance)
    for _ in range(chance.randrange(12, 42)):
        if chance.random() < 0.2:
            colour = _colour(chance)
        x, y, width = chance.uniform(0, side), chance.uniform(0, side), round(FINER * chance.uniform(0.7, 6))
        if chance.random() < 0.6:
            draw.line([(x, y), (chance.uniform(0, side), chance.uniform(0, side))], fill=colour, width=width)
        else:
            radius = side * chance.uniform(0.03, 0.4)
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=colour, width=width)


def _lettering(draw: ImageDraw.ImageDraw, side: int, chance: random.Random) -> None:
    colour, y = _colour(chance), 0.0
    while y < side:
        size = FINER * chance.randrange(10, 60)
        text = "".join(chance.choices(string.ascii_letters + string.digits + " .,;&%", k=60))
        draw.text((side * chance.uniform(-0.2, 0.1), y), text, fill=colour, font=ImageFont.load_default(size))
        y += size * chance.uniform(1.1, 1.6)
        if chance.random() < 0.2:
            colour = _colour(chance)


def scattered(outputs: Tensor, hr: Tensor, scale: int) -> Tensor:
    """Count scattered pixels per 10,000: outputs (n, 3, H, W) and HR (3, H, W) in [0, 1] -> (n,).

    A channel, or the difference of two, is more than FAR grey levels outside the range of HR's values within ``scale``
    pixels.
    """
    nearby = _with_differences(hr[None])
    window, border = 2 * scale + 1, scale
    highest, lowest = (sign * F.max_pool2d(sign * nearby, window, 1, border) for sign in (1, -1))
    values = _with_differences(outputs.clamp(0, 1))
    outside = torch.maximum(values - highest, lowest - values).amax(1)
    return (outside > FAR / 255).float().mean((1, 2)) * 1e4


def _with_differences(images: Tensor) -> Tensor:
    """Append red - green, green - blue and blue - red to images (n, 3, H, W)."""
    return torch.cat([images, images - images.roll(-1, 1)], 1)


def drawn_pair(number: int, scale: int) -> ImagePair:
    """Return the pair of a drawn image of 256x256 pixels."""
    hr = drawn(number, 256)
    return ImagePair(f"drawn-{number}", downscale_uint8(hr, scale) / 255, hr / 255)


def measure(scale: int) -> None:
    """Print scattered pixels of the packaged models, in a row each."""
    photos = packaged_photos(scale)
    sets = {
        f"{MEASURED} drawn images": [drawn_pair(number, scale) for number in range(MEASURED)],
        f"{len(photos)} photographs": [photos.read(name) for name in photos],
    }
    print("| | " + " | ".join(f"{name}, mean | largest" for name in sets) + " |\n| --- |" + " ---: |" * 2 * len(sets))
    for name in ("rrdb", "esrgan", "srflow", "srflow-perceptual", "rectified-flow"):
        counts = [
            torch.stack([scattered(outputs(name, scale, pair.lr, SAMPLES), pair.hr, scale) for pair in pairs])
            for pairs in sets.values()
        ]
        print(f"| {name} |" + "".join(f" {count.mean():.2f} | {count.max():.1f} |" for count in counts), flush=True)


@torch.no_grad()
def outputs(name: str, scale: int, lr: Tensor, n: int) -> Tensor:
    """Return the output of a packaged model, or ``n`` samples at the temperature that its weights state."""
    model = loaded(name, scale, "cpu")
    if model.weights is None or model.weights.temperature is None:
        output: Tensor = model(lr[None])
        return output
    generator = torch.Generator().manual_seed(0)
    samples: Tensor = model.sample(lr, n, temperature=model.weights.temperature, generator=generator)
    return samples


def write(folder: Path, count: int) -> None:
    """Write ``count`` images for training."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(FIRST, FIRST + count):
        write_png(folder / f"drawn-{number}.png", drawn(number, 384))


def main() -> None:
    """Write images, or measure models."""
    if len(sys.argv) == 2:
        measure(int(sys.argv[1]))
    else:
        write(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
