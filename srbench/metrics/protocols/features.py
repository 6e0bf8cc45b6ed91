"""LPIPS, NIQE, metrics of pyiqa, FID and KID under every protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor

from srbench.interfaces import ImageMetric, ImagePair, SRBenchError
from srbench.metrics import MetricError
from srbench.metrics.fid import MODES, RESIZING, Inception, InceptionInput, distance
from srbench.metrics.lpips_network import NETS
from srbench.metrics.naturalness import NIQE
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.protocols.table import RGB, Y_UNROUNDED, YIQ_ROUNDED, MetricProtocol, Plane, Y
from srbench.metrics.scene_statistics import GREY, grey
from srbench.words import one_line


def networks() -> tuple[dict[str, LPIPS], tuple[str, ...]]:
    """Return LPIPS for every network whose weights are installed, and a line for every missing network."""
    installed, missing = {}, []
    for net in NETS:
        try:
            installed[net] = LPIPS(net)
        except SRBenchError as error:
            missing.append(str(error))
    return installed, tuple(missing)


_INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda image: image,
    "[0, 1] handed in as [-1, 1]": lambda image: image.double() / 2 + 127.5,
    "BGR taken for RGB": lambda image: image.flip(0),
}


def distances(
    output: Tensor, hr: Tensor, scales: Sequence[int], metrics: dict[str, LPIPS]
) -> Iterator[tuple[MetricProtocol, float]]:
    """Yield protocols and values of LPIPS for two images (3, H, W) RGB of equal size, uint8 or float64 in 0..255."""
    if output.shape != hr.shape:
        return
    for number, (net, metric) in enumerate(metrics.items()):
        for place, (words, change) in enumerate(_INPUTS.items()):
            for depth, border in enumerate((0, *(() if words else scales))):
                height, width = (side - 2 * border for side in hr.shape[1:])
                if min(height, width) < metric.smallest_side:
                    continue
                image, reference = (change(each[:, border:, border:][:, :height, :width]) for each in (output, hr))
                is_ours = not words and not border
                parameters = () if net == "alex" else (("net", net),)
                protocol = MetricProtocol(
                    "lpips",
                    RGB.words,
                    ", ".join(filter(None, (NETS[net], words))),
                    border,
                    parameters=parameters if is_ours else None,
                    order=(place, number, depth),
                )
                yield protocol, metric.distances(image[None], reference).item()


_GREY = Plane("grey of MATLAB, unrounded", None, None, GREY)


def naturalness(output: Tensor, scales: Sequence[int]) -> Iterator[tuple[MetricProtocol, float]]:
    """Yield protocols and values of NIQE (LIVE model) for an image (3, H, W) RGB, uint8 or float64 in 0..255."""
    metric = NIQE()
    planes = {"grey of MATLAB, rounded": grey(output)}
    for plane in (Y, YIQ_ROUNDED, Y_UNROUNDED, _GREY):
        planes[plane.words] = plane.of(output, is_output=True)[0].numpy()
    for number, (words, values) in enumerate(planes.items()):
        for depth, border in enumerate((0, *scales)):
            inner = values[border : len(values) - border, border : values.shape[1] - border]
            with suppress(SRBenchError):  # too few blocks with texture
                if min(inner.shape) >= metric.smallest_side:
                    parameters = () if number == depth == 0 else None
                    protocol = MetricProtocol("niqe", words, "", border, parameters=parameters, order=(number, depth))
                    yield protocol, metric.score(inner, "")


def scores(output: Tensor, hr: Tensor, metrics: dict[str, ImageMetric]) -> Iterator[tuple[MetricProtocol, float]]:
    """Yield protocols and values of metrics of pyiqa, by ``pyiqa:NAME``, for two images as for ``distances``.

    Metrics that compare with HR are left out if sizes differ. Raises MetricError if a metric fails.
    """
    sample, reference = (image.float() / 255 for image in (output, hr))
    for number, (name, metric) in enumerate(metrics.items()):
        if output.shape == hr.shape or "HR" not in metric.needs:
            protocol = MetricProtocol(name, RGB.words, name, parameters=(), order=(number,))
            try:
                values = metric(sample[None], ImagePair("", reference, reference))
                value = None if values is None else values.item()
            except Exception as error:  # a hundred metrics fail in many ways, most of them on small images
                raise MetricError(f"{name} fails: {one_line(error)}") from error
            if value is not None:
                yield protocol, value


PATCH = 256
"""Side of the patches that are tried."""


def inception_features(
    metric: str, output: Tensor, hr: Tensor, network: Inception
) -> Iterator[tuple[MetricProtocol, Any]]:
    """Yield protocols of FID or KID, and the features of output and HR (3, H, W) uint8 under each.

    Images that are not quantised are left out, as are patches of images that are smaller.
    """
    if output.is_floating_point() or hr.is_floating_point():
        return
    has_patches = min(*output.shape[1:], *hr.shape[1:]) >= PATCH
    wanted = [InceptionInput(mode, patch) for patch in (0, PATCH)[: 1 + has_patches] for mode in MODES]
    features = [{seen: network.features([image], seen, image.device.type) for seen in wanted} for image in (output, hr)]
    for place, seen in enumerate(wanted):
        given = {"mode": seen.mode if seen.mode != "clean" else "", "patch": str(seen.patch or "")}
        protocol = MetricProtocol(
            metric,
            RESIZING[seen.mode],
            border=None,
            placement=f"patches of {PATCH}x{PATCH} in two grids" if seen.patch else "",
            parameters=tuple((name, text) for name, text in given.items() if text),
            order=(place,),
        )
        yield protocol, [each[seen] for each in features]


def folder_distance(
    protocol: MetricProtocol, images: Sequence[Sequence[Any]]
) -> Iterator[tuple[MetricProtocol, float]]:
    """Yield FID or KID, given the features of the samples and of HR by image; the first sample of each image counts.

    Raises MetricError for fewer than two images.
    """
    outputs, references = (np.concatenate([samples[0][side] for samples in images]) for side in (0, 1))
    yield protocol, distance(protocol.metric, outputs, references)
