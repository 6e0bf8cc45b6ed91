"""The metrics of ``srbench explain``: protocols, values of an image under each, and means over images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from inspect import signature
from statistics import fmean
from typing import Any

from torch import Tensor

from srbench.interfaces import ImageMetric, SRBenchError
from srbench.metrics import MetricError
from srbench.metrics.loading import open_metric, parse_metric
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.pixel import PSNR, SSIM
from srbench.metrics.protocols.table import MetricProtocol
from srbench.metrics.suite import Suite, read_suite, suite_names
from srbench.words import unknown

PYIQA = "pyiqa:"
"""Prefix of metrics of pyiqa."""
ProtocolValues = Iterator[tuple[MetricProtocol, Any]]
"""Protocols with numbers, or with the features from which FID and KID are computed."""


@dataclass(frozen=True)
class ProtocolFamily:
    """A metric and the protocols under which it is tried."""

    title: str
    tried: str
    """The protocols in words."""
    values: Callable[[Tensor, Tensor, Sequence[int]], ProtocolValues]
    """Maps output and HR (3, H, W), uint8 or float64 in 0..255, and scales to protocols and values."""
    gathered: Callable[[MetricProtocol, Sequence[Sequence[Any]]], Iterator[tuple[MetricProtocol, float]]]
    """Maps a protocol and its values, by image and sample, to protocols with their mean over images, or distance."""
    not_tried: tuple[str, ...] = ()
    """One line for each protocol that cannot be tried, because its weights are missing."""
    variants: tuple[str, ...] = ()
    """Names of the metrics that are tried, if there are several."""
    is_mean: bool = True
    """False for a distance between all outputs and all HR images."""
    gpu: bool = False
    """True if values are computed where output and HR lie, which may be a GPU."""


def _mean(protocol: MetricProtocol, images: Sequence[Sequence[float]]) -> ProtocolValues:
    finite = [value for value in (fmean(values) for values in images) if math.isfinite(value)]
    yield protocol, fmean(finite) if finite else math.nan


def _psnr() -> ProtocolFamily:
    from srbench.metrics.protocols.pixels import mean_decibels, squared_errors

    tried = (
        "RGB; Y of BT.601 rounded, unrounded; Y of YIQ; grey of OpenCV and of scikit-image; BGR taken for RGB; "
        "crops of 0, the scale, twice the scale and the scale + 6; means of dB and of squared errors; "
        "shifts by one pixel; images cut to multiples of the scale and of 12 at each end"
    )
    return ProtocolFamily("PSNR", tried, squared_errors, mean_decibels)


def _ssim() -> ProtocolFamily:
    from srbench.metrics.protocols.structure import similarities

    tried = (
        "the channels and crops of PSNR; 11x11 Gaussian and 7x7 uniform windows, inside the image or over its border; "
        "ranges 255, 1 and 2 for values in 0..255 and 0..1; covariances of samples and populations; "
        "averaging of large images first; images cut to multiples of the scale and of 12 at each end"
    )
    return ProtocolFamily("SSIM", tried, similarities, _mean)


def _lpips() -> ProtocolFamily:
    from srbench.metrics.protocols.features import distances, networks

    nets, missing = networks()
    tried = (
        f"{', '.join(nets)} of version 0.1; [0, 1] handed in as [-1, 1]; BGR taken for RGB; crops of 0 and the scale"
    )
    return ProtocolFamily(
        "LPIPS", tried, lambda output, hr, scales: distances(output, hr, scales, nets), _mean, missing, gpu=True
    )


def _niqe() -> ProtocolFamily:
    from srbench.metrics.protocols.features import naturalness

    tried = "the LIVE model on grey, Y of BT.601 and Y of YIQ, rounded or not; crops of 0 and the scale"

    not_tried = ("NIQE with MATLAB's model, which may not be packaged",)
    return ProtocolFamily("NIQE", tried, lambda output, _, scales: naturalness(output, scales), _mean, not_tried)


def _of_pyiqa(name: str) -> ProtocolFamily:
    """Return the variants of a metric of pyiqa, each with the weights of another training or other options.

    Raises MetricError for an unknown name, and if no variant can be loaded.
    """
    from srbench.metrics.protocols.features import scores
    from srbench.metrics.pyiqa_variants import variants

    names = variants(name.removeprefix(PYIQA))
    metrics, missing = {}, []
    for variant in names:
        try:
            metric = open_metric(PYIQA + variant).metric
            assert isinstance(metric, ImageMetric)
            metrics[PYIQA + variant] = metric
        except SRBenchError as error:
            missing.append(str(error))
    if not metrics:
        raise MetricError(missing[0])
    return ProtocolFamily(
        f"{names[0]} of pyiqa",
        f"{', '.join(metrics)}; no crops",
        lambda output, hr, _: scores(output, hr, metrics),
        _mean,
        tuple(missing),
        tuple(metrics),
        gpu=True,
    )


def _of_sets(name: str) -> ProtocolFamily:
    from srbench.metrics.fid import inception
    from srbench.metrics.protocols.features import PATCH, folder_distance, inception_features

    network = inception()
    tried = f"resizing of clean-fid, pytorch-fid and torch-fidelity; whole images and {PATCH}x{PATCH} patches"
    return ProtocolFamily(
        name.upper(),
        tried,
        lambda output, hr, _: inception_features(name, output, hr, network),
        folder_distance,
        is_mean=False,
        gpu=True,
    )


FAMILIES: Mapping[str, Callable[[], ProtocolFamily]] = {
    "psnr": _psnr,
    "ssim": _ssim,
    "lpips": _lpips,
    "niqe": _niqe,
    **{name: partial(_of_sets, name) for name in ("fid", "kid")},
}
"""Metrics that can be explained, by name, besides those of pyiqa."""


@cache
def family(name: str) -> ProtocolFamily:
    """Return the protocols of a metric, or of ``pyiqa:NAME``. Raises MetricError if it cannot be explained."""
    if name.startswith(PYIQA):
        return _of_pyiqa(name)
    if name not in FAMILIES:
        raise MetricError(unknown("metric to explain", name, [*FAMILIES, f"{PYIQA}NAME"]))
    return FAMILIES[name]()


@cache
def in_suites(scale: int | None) -> Mapping[tuple[str, frozenset[tuple[str, str]]], Mapping[Suite, str]]:
    """Return the packaged suites with a column, each with the column's text, by name and parameters of the metric."""
    suites: dict[tuple[str, frozenset[tuple[str, str]]], dict[Suite, str]] = {}
    for suite in map(read_suite, suite_names()):
        for column in suite.columns:
            suites.setdefault(column_key(column, scale), {})[suite] = column
    return suites


def column_key(column: str, scale: int | None) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return the name of a metric and the parameters that differ from its defaults, with the scale as a number."""
    name, given = parse_metric(column)
    texts = {key: str(scale if value == "scale" else value) for key, value in given.items()}
    return name, frozenset((key, value) for key, value in texts.items() if (key, value) not in _DEFAULTS)


_DEFAULTS = {
    (parameter.name, str(parameter.default))
    for metric in (PSNR, SSIM, LPIPS)
    for parameter in signature(metric).parameters.values()
}


def suites_of(protocol: MetricProtocol, scale: int | None) -> Mapping[Suite, str]:
    """Return the packaged suites that use this protocol, each with its column."""
    if protocol.parameters is None:
        return {}
    border = (("border", str(protocol.border)),) if protocol.border else ()
    return in_suites(scale).get((protocol.metric, frozenset((*protocol.parameters, *border))), {})
