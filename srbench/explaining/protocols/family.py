"""The base class of the metrics of ``srbench explain``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from inspect import signature
from statistics import fmean
from typing import Any

from torch import Tensor

from srbench.explaining.protocols.table import MetricProtocol
from srbench.metrics.arguments import typed
from srbench.metrics.fid import FID, KID
from srbench.metrics.loading import parse_metric
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.pixel import PSNR, SSIM
from srbench.metrics.suite import Suite, read_suite, suite_names

_METRICS = {"psnr": PSNR, "ssim": SSIM, "lpips": LPIPS, "fid": FID, "kid": KID}
"""Our metrics that have parameters, by name."""
ProtocolValues = Iterator[tuple[MetricProtocol, Any]]
"""Protocols with numbers, or with the features from which FID and KID are computed."""


class ProtocolFamily(ABC):
    """A metric and the protocols under which it is tried."""

    title: str
    tried: str
    """The protocols in words."""
    not_tried: tuple[str, ...] = ()
    """One line for each protocol that cannot be tried, because its weights are missing."""
    is_mean: bool = True
    """False for a distance between all outputs and all HR images."""
    gpu: bool = False
    """True if values are computed where output and HR lie, which may be a GPU."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.metrics: tuple[str, ...] = (name,)
        """Names of the metrics that are tried, several for one of pyiqa."""

    @abstractmethod
    def values(self, output: Tensor, hr: Tensor, scales: Sequence[int]) -> ProtocolValues:
        """Yield protocols and values for two images (3, H, W) RGB, uint8 or float64 in 0..255."""

    def gathered(
        self, protocol: MetricProtocol, images: Sequence[Sequence[Any]]
    ) -> Iterator[tuple[MetricProtocol, float]]:
        """Yield protocols and means over images, given the values of a protocol by image and sample."""
        finite = [value for value in (fmean(values) for values in images) if math.isfinite(value)]
        yield protocol, fmean(finite) if finite else math.nan

    def suites(self, protocol: MetricProtocol, scale: int | None) -> Mapping[Suite, str]:
        """Return the packaged suites that use a protocol, each with its column."""
        if protocol.text is None:
            return {}
        key = column_key(protocol.text, scale)
        return {suite: column for suite, column in _columns(protocol.metric) if column_key(column, scale) == key}


def column_key(column: str, scale: int | None) -> tuple[str, frozenset[tuple[str, object]]]:
    """Return the name of a metric and the parameters that differ from its defaults, with the scale as a number."""
    name, given = parse_metric(column)
    if name not in _METRICS:  # without parameters, or of pyiqa
        return name, frozenset(given.items())
    defaults = signature(_METRICS[name]).parameters
    values = {key: scale if value == "scale" else value for key, value in typed(name, _METRICS[name], given).items()}
    return name, frozenset((key, value) for key, value in values.items() if value != defaults[key].default)


@cache
def _columns(metric: str) -> list[tuple[Suite, str]]:
    """Return the columns of all packaged suites that are of a metric."""
    suites = map(read_suite, suite_names())
    return [(suite, column) for suite in suites for column in suite.columns if parse_metric(column)[0] == metric]
