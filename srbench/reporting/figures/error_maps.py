"""Maps of errors and of the spread of samples, one value per pixel, drawn in colours."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srbench.interfaces import ImagePair, MapInfo, MappedMetric, MetricInfo, SRBenchError
from srbench.metrics.default_map import mapped
from srbench.metrics.loading import is_third_party, load_metric
from srbench.plugins import PluginError
from srbench.plugins.registry import call
from srbench.reporting.results import Runs

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]
"""(H, W, 3)."""
Values = NDArray[np.float32]
"""(H, W)."""


@dataclass(frozen=True, kw_only=True)
class MapKind(MapInfo):
    """A kind of map. All maps of a kind share a colour scale."""

    name: str
    """Last part of the file names of its maps."""
    title: str
    metric: MetricInfo | None = None

    @classmethod
    def of(cls, metric: MetricInfo) -> MapKind:
        """Return the kind of a metric's maps."""
        assert metric.map is not None
        return cls(**vars(metric.map), name=metric.name, title=metric.title, metric=metric)


ERROR = MapKind("absolute, in grey levels", 64, name="error", title="error")
"""Absolute difference from HR, averaged over the channels."""
DEVIATION = MapKind("deviation in grey levels", 32, name="deviation", title="spread of samples")


def kinds_of(results: Runs) -> list[MapKind]:
    """Return the kinds of maps in a report; without HR, only maps that do not need HR."""
    metrics = results.manifest.of_images
    if not results.has_hr:
        return [*(MapKind.of(metric) for metric in metrics if metric.map), DEVIATION]
    return [ERROR, *map(MapKind.of, mapped(metrics)), DEVIATION]


def map_file(kind: MapKind, setting: str, image: str) -> str:
    """Return the file name of a map in a report; ``setting`` is the folder name of a setting."""
    return f"maps/{setting}/{image}_{kind.name}.png"


def map_png(values: Values, kind: MapKind) -> bytes:
    """Encode a map as PNG."""
    buffer = BytesIO()
    # smooth maps of metrics compress well even at a low level; the other maps compress poorly at any level
    options = {"compress_level": 4} if kind.metric else {"compress_level": 1, "compress_type": zlib.Z_RLE}
    coloured(values, kind).save(buffer, format="PNG", **options)
    return buffer.getvalue()


def error_map(image: Pixels, hr: Pixels) -> Values:
    """Return the absolute difference of two images in grey levels, averaged over the channels."""
    return _mean_of_channels(np.abs(image.astype(np.int16) - hr))


def deviation_map(images: list[Pixels]) -> Values:
    """Return the standard deviation (ddof 1) of two or more images in grey levels, averaged over the channels."""
    count, total, squares = len(images), *sums(images)
    return _mean_of_channels(np.sqrt((count * squares - total**2) / (count * (count - 1))))


def sums(images: list[NDArray[np.uint8]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums over images (h, w, 3) of their levels, and of the squares of their levels; both are exact."""
    total = np.zeros(images[0].shape, np.int32)
    squares = np.zeros_like(total)
    for image in images:
        levels = image.astype(np.int32)
        total += levels
        squares += levels * levels
    return total.astype(np.float64), squares.astype(np.float64)


def _mean_of_channels(values: NDArray[np.generic]) -> Values:
    """Return the means over the channels of (h, w, 3), faster than numpy's ``mean``."""
    red, green, blue = np.moveaxis(values, 2, 0)
    mean: Values = (red.astype(np.float32) + green + blue) / 3
    return mean


def metric_maps(metric: MetricInfo, images: Sequence[Pixels], lr: Pixels, hr: Pixels | None) -> list[Values]:
    """Compute the map of a metric for each image. Raises PluginError if the metric is not installed or fails."""
    import torch

    from srbench.metrics.samples import as_seen

    loaded = _with_map(metric.spec)
    if isinstance(loaded, SRBenchError):
        raise loaded
    whole = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in (lr, hr, *images) if image is not None]
    given = whole[: -len(images)]
    pair = ImagePair("", *(image / 255 for image in given))
    outputs = [as_seen(loaded, image) for image in whole[len(given) :]]
    return [call(f"map of {metric.name}", partial(_map, loaded, output, pair)) for output in outputs]


def _map(metric: MappedMetric, output: Tensor, pair: ImagePair) -> Values:
    # a third-party metric may change what it gets; ours compute features of HR once for all outputs
    given = (output[None].clone(), pair.copied()) if is_third_party(metric) else (output[None], pair)
    values: Values = metric.map(*given).numpy()
    if values.shape != output.shape[1:]:
        raise PluginError(f"a map of {metric.info.name} has shape {values.shape}; it must be {tuple(output.shape[1:])}")
    return values


@cache
def _with_map(spec: str) -> MappedMetric | SRBenchError:
    """Return a metric, or why it cannot be loaded; cached, so that a report tries only once."""
    try:
        metric = load_metric(spec)
    except SRBenchError as error:
        return error
    assert isinstance(metric, MappedMetric)
    return metric


def maps_of(
    outputs: Mapping[str, list[Pixels]], lr: Pixels, hr: Pixels | None, wanted: Collection[tuple[MapKind, str]]
) -> dict[tuple[MapKind, str], Values]:
    """Compute the ``wanted`` maps (kind, model) of the outputs of several models for one image.

    Deviations use all samples, all other maps the first sample. Maps of a metric that is not installed or fails are
    left out with a warning.
    """
    maps: dict[tuple[MapKind, str], Values] = {}
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
            values = [error_map(outputs[name][0], hr) for name in names]
        else:
            values = [deviation_map(outputs[name]) for name in names]
        maps |= {(kind, name): drawn for name, drawn in zip(names, values, strict=True)}
    return maps


def coloured(values: Values, kind: MapKind) -> Image.Image:
    """Colour a map: an image with a palette, whose indices are values / ``kind.upper`` * 255, rounded."""
    levels = np.clip(values / kind.upper * 255 + 0.5, 0, 255).astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(_palette())
    return image


@cache
def _palette() -> bytes:
    """Return 256 colours from black through violet and orange to light yellow: matplotlib's inferno."""
    return (files("srbench.reporting.figures") / "inferno.palette").read_bytes()
