"""Maps of errors and of the spread of samples: values per pixel, as coloured images.

A map is a PNG that carries its key, the digest of all that it shows and of this code. The LPIPS map is a by-product of
the value, so it is kept when that is measured, if a report will show it; the report makes all others.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from srbench.images.io import PNG, read_recipe
from srbench.images.strict_decoding import FAULTS
from srbench.interfaces import ImagePair, MapFacts, MappedMetric, MetricFacts, SRBenchError
from srbench.metrics.default_map import mapped
from srbench.plugins.code_digest import package_digest
from srbench.plugins.registry import call, load_metric
from srbench.run_folder.records import digest

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]
"""(H, W, 3)."""
Values = NDArray[np.float32]
"""(H, W)."""


@dataclass(frozen=True, kw_only=True)
class MapKind(MapFacts):
    """A kind of map. The colours mean the same in every map of a kind."""

    name: str
    """Ending of its file."""
    title: str
    metric: MetricFacts | None = None

    @classmethod
    def of(cls, metric: MetricFacts) -> MapKind:
        """The kind of a metric's map."""
        assert metric.map is not None
        return cls(**vars(metric.map), name=metric.name, title=metric.title, metric=metric)


ERROR = MapKind("absolute, in grey levels", 64, name="error", title="error")
"""Absolute difference from HR, mean over the channels."""
DEVIATION = MapKind("deviation in grey levels", 32, name="deviation", title="spread of samples")
ILLUSTRATED = 30
"""Largest number of images with strips, grids and maps in a report, spread evenly over the list."""
_CHUNK = "srbench-map"


def kinds_of(metrics: Iterable[MetricFacts], *, has_hr: bool) -> list[MapKind]:
    """The kinds of maps in a report of some metrics; without HR, of those that look at the outputs alone or at LR."""
    if not has_hr:
        return [*(MapKind.of(one) for one in metrics if one.map), DEVIATION]
    return [ERROR, *map(MapKind.of, mapped(metrics)), DEVIATION]


def evenly(names: Sequence[str], count: int = ILLUSTRATED) -> list[str]:
    """At most ``count`` of the names, spread evenly over the list."""
    count = min(count, len(names))
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


def map_file(kind: MapKind, setting: str, image: str) -> str:
    """Path of a map in the folder of a report; ``setting`` is the folder name of a setting."""
    return f"maps/{setting}/{image}_{kind.name}.png"


def map_key(kind: MapKind, hr: str, outputs: Sequence[str]) -> str:
    """Digest of all that a map shows: the digests of the pixels of HR, if any, and of the outputs, and the code."""
    metric = [] if kind.metric is None else [kind.metric.digest]
    return digest("map", kind.name, package_digest(__name__), *metric, hr, *outputs)


def map_png(values: Values, kind: MapKind, key: str) -> bytes:
    """A map as a PNG that carries its key."""
    facts, buffer = PngInfo(), BytesIO()
    facts.add_text(_CHUNK, key)
    # maps of metrics are smooth, and the others repeat nothing
    coloured(values, kind).save(buffer, format="PNG", pnginfo=facts, **({"compress_level": 4} if kind.metric else PNG))
    return buffer.getvalue()


def carried_key(path: Path) -> str | None:
    """The key of a map; None for any other or missing file."""
    return read_recipe(path, _CHUNK)


def read_map(content: bytes) -> tuple[str, Pixels] | None:
    """The key and the colours of a map; None for any other file."""
    try:
        with Image.open(BytesIO(content), formats=["PNG"]) as file:
            key = file.info.get(_CHUNK)
            return None if key is None else (str(key), np.asarray(file.convert("RGB")))
    except FAULTS:
        return None


def deviation_map(images: list[Pixels]) -> Values:
    """Standard deviation (ddof 1) over two or more images in grey levels, mean over the channels."""
    deviation: Values = np.stack(images).astype(np.float32).std(axis=0, ddof=1).mean(axis=2)
    return deviation


def metric_maps(metric: MetricFacts, images: list[Pixels], lr: Pixels, hr: Pixels | None) -> list[Values]:
    """The map of a metric for each image. Raises PluginError if its code is not here or fails."""
    import torch

    given = [image for image in (lr, hr) if image is not None]
    tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in (*given, *images)]
    pair, outputs = ImagePair("", *(image / 255 for image in tensors[: len(given)])), tensors[len(given) :]
    loaded = _with_map(metric.spec)
    if isinstance(loaded, SRBenchError):
        raise loaded
    return [metric_map(loaded, one[None], pair) for one in outputs]


def metric_map(metric: MappedMetric, images: Tensor, pair: ImagePair) -> Values:
    """The map of a metric for the first of some outputs (n, 3, H, W). Raises PluginError if it fails."""
    from srbench.benchmark.scoring import one_thread, seen

    with one_thread():  # other images have the other cores
        values: Values = call(
            f"map of {metric.facts.name}", lambda: metric.map(seen(metric.facts, images), pair).numpy()
        )
    return values


@cache
def _with_map(spec: str) -> MappedMetric | SRBenchError:
    """A metric, or why it cannot be loaded, so that a report looks for it once."""
    try:
        metric = load_metric(spec)
    except SRBenchError as error:
        return error
    assert isinstance(metric, MappedMetric)
    return metric


def maps_of(
    outputs: Mapping[str, list[Pixels]], lr: Pixels, hr: Pixels | None, wanted: Collection[tuple[MapKind, str]]
) -> dict[tuple[MapKind, str], Values]:
    """The wanted maps of the outputs of several models for one image, by kind and name of the model.

    All but deviations, which need two samples, are of the first sample. Maps of a metric whose code is not here or
    fails are left out with a warning.
    """
    found: dict[tuple[MapKind, str], Values] = {}
    for kind in dict.fromkeys(kind for kind, _ in wanted):
        names = [name for name in outputs if (kind, name) in wanted]
        if kind.metric is not None:
            try:
                values = metric_maps(kind.metric, [outputs[name][0] for name in names], lr, hr)
            except SRBenchError as error:
                warnings.warn(f"no maps of {kind.title}: {error}", stacklevel=2)
                continue
        elif kind == ERROR:
            assert hr is not None
            values = [np.abs(outputs[name][0].astype(np.float32) - hr).mean(axis=2) for name in names]
        else:
            values = [deviation_map(outputs[name]) for name in names]
        found |= {(kind, name): one for name, one in zip(names, values, strict=True)}
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
