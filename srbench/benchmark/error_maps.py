"""Maps of errors and of the spread of samples: values per pixel, as coloured images.

A map is a PNG that carries its key, the digest of all that it shows and of this code. The LPIPS map is a by-product of
the value, so it is kept when that is measured, if a report will show it; the report makes all others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from srbench.images.io import PNG
from srbench.plugins.code_digest import package_digest
from srbench.run_folder.records import digest

Pixels = NDArray[np.uint8]
"""(H, W, 3)."""
Values = NDArray[np.float32]
"""(H, W)."""


@dataclass(frozen=True)
class MapKind:
    """A kind of map. The colours mean the same in every map of a kind."""

    name: str
    """Ending of its file."""
    title: str
    unit: str
    upper: float
    """Value of the brightest colour; larger values saturate."""


ERROR = MapKind("error", "error", "absolute, in grey levels", 64)
LPIPS = MapKind("lpips", "LPIPS", "distance to HR at every pixel", 0.6)
DEVIATION = MapKind("deviation", "spread of samples", "deviation in grey levels", 32)
KINDS = (ERROR, LPIPS, DEVIATION)
LPIPS_SIDE = 64
"""Smallest side for which LPIPS is defined."""
ILLUSTRATED = 30
"""Largest number of images with strips, grids and maps in a report, spread evenly over the list."""
_CHUNK = "srbench-map"


def evenly(names: Sequence[str], count: int = ILLUSTRATED) -> list[str]:
    """At most ``count`` of the names, spread evenly over the list."""
    count = min(count, len(names))
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


def map_file(kind: MapKind, setting: str, image: str) -> str:
    """Path of a map in the folder of a report; ``setting`` is the folder name of a setting."""
    return f"maps/{setting}/{image}_{kind.name}.png"


def map_key(kind: MapKind, hr: str, outputs: Sequence[str]) -> str:
    """Digest of all that a map shows: the digests of the pixels of HR and of the outputs, and the code."""
    return digest("map", kind.name, package_digest(__name__), hr, *outputs)


def map_png(values: Values, kind: MapKind, key: str) -> bytes:
    """A map as a PNG that carries its key."""
    facts, buffer = PngInfo(), BytesIO()
    facts.add_text(_CHUNK, key)
    # LPIPS maps are smooth, and the others repeat nothing
    coloured(values, kind).save(
        buffer, format="PNG", pnginfo=facts, **({"compress_level": 4} if kind == LPIPS else PNG)
    )
    return buffer.getvalue()


def carried_key(path: Path) -> str | None:
    """The key of a map; None for any other or missing file."""
    try:
        with Image.open(path) as file:
            found = file.info.get(_CHUNK)
    except (OSError, SyntaxError, ValueError):
        return None
    return None if found is None else str(found)


def error_map(image: Pixels, hr: Pixels) -> Values:
    """Absolute difference from HR in grey levels, mean over the channels."""
    difference: Values = np.abs(image.astype(np.float32) - hr).mean(axis=2)
    return difference


def deviation_map(images: list[Pixels]) -> Values:
    """Standard deviation (ddof 1) over two or more images in grey levels, mean over the channels."""
    deviation: Values = np.stack(images).astype(np.float32).std(axis=0, ddof=1).mean(axis=2)
    return deviation


def perceptual_maps(images: list[Pixels], hr: Pixels) -> list[Values]:
    """LPIPS distance from HR at every pixel of each image, all of at least 64 pixels a side."""
    import torch

    from srbench.benchmark.scoring import one_thread
    from srbench.interfaces import ImagePair
    from srbench.metrics import perceptual

    reference, *outputs = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in (hr, *images)]
    pair = ImagePair("", reference, reference)
    metric = perceptual.LPIPS()
    with one_thread():  # other images have the other cores
        return [metric.map(output[None], pair).numpy() for output in outputs]


def maps_of(
    outputs: Mapping[str, list[Pixels]], hr: Pixels, wanted: Collection[tuple[MapKind, str]]
) -> dict[tuple[MapKind, str], Values]:
    """The wanted maps of the outputs of several models for one image, by kind and name of the model.

    Error and LPIPS are of the first sample; LPIPS needs 64 pixels a side, a deviation two samples.
    """
    found: dict[tuple[MapKind, str], Values] = {}
    perceptual = [name for name in outputs if (LPIPS, name) in wanted]
    if perceptual:
        values = perceptual_maps([outputs[name][0] for name in perceptual], hr)
        found |= {(LPIPS, name): one for name, one in zip(perceptual, values, strict=True)}
    for name, images in outputs.items():
        if (ERROR, name) in wanted:
            found[ERROR, name] = error_map(images[0], hr)
        if (DEVIATION, name) in wanted:
            found[DEVIATION, name] = deviation_map(images)
    return found


def coloured(values: Values, kind: MapKind) -> Image.Image:
    """An image with a palette; the index of a pixel is its value / ``kind.upper`` * 255, rounded."""
    levels = np.clip(values / kind.upper * 255 + 0.5, 0, 255).astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(_palette())
    return image


def colour_scale(kind: MapKind, side: int) -> Image.Image:
    """Colours of a kind from 0 to its upper end, side x side pixels, with numbers."""
    sheet = Image.new("RGB", (side, side), "white")
    ramp = np.broadcast_to(np.linspace(0, kind.upper, side, dtype=np.float32), (side // 6, side))
    sheet.paste(coloured(ramp, kind).convert("RGB"), (0, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    texts = (("0", 0, "la"), (f"{kind.upper / 2:g}", side // 2, "ma"), (f"{kind.upper:g} or more", side, "ra"))
    for text, place, anchor in texts:
        draw.text((place, side // 6 + 5), text, fill=(20, 20, 20), font=font, anchor=anchor)
    return sheet


@cache
def _palette() -> bytes:
    """256 colours from black over violet and orange to a light yellow, even in lightness: matplotlib's inferno."""
    return (files("srbench.benchmark") / "inferno.palette").read_bytes()
