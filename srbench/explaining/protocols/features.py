"""LPIPS, NIQE, metrics of pyiqa, FID and KID under every protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor

from srbench.explaining.protocols.family import ProtocolFamily, ProtocolValues
from srbench.explaining.protocols.table import RGB, Y_UNROUNDED, YIQ_ROUNDED, MetricProtocol, Plane, Y
from srbench.interfaces import ImageMetric, ImagePair, SRBenchError
from srbench.metrics import MetricError
from srbench.metrics.fid import MODES, RESIZING, InceptionInput, distance, inception
from srbench.metrics.loading import open_metric
from srbench.metrics.lpips_network import NETS, Net
from srbench.metrics.naturalness import NIQE
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.scene_statistics import GREY, grey
from srbench.words import one_line

PYIQA = "pyiqa:"
"""Prefix of metrics of pyiqa."""
_INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda image: image,
    "[0, 1] handed in as [-1, 1]": lambda image: image.double() / 2 + 127.5,
    "BGR taken for RGB": lambda image: image.flip(0),
}


class LPIPSProtocols(ProtocolFamily):
    """Protocols of LPIPS, with every network whose weights are installed."""

    title = "LPIPS"
    gpu = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.networks: dict[Net, LPIPS] = {}
        missing = []
        for net in NETS:
            try:
                self.networks[net] = LPIPS(net)
            except SRBenchError as error:
                missing.append(str(error))
        self.not_tried = tuple(missing)
        self.tried = (
            f"{', '.join(self.networks)} of version 0.1; [0, 1] handed in as [-1, 1]; BGR taken for RGB; "
            "crops of 0 and the scale"
        )

    def values(self, output: Tensor, hr: Tensor, scales: Sequence[int]) -> ProtocolValues:
        """Yield protocols and values for two images of equal size, none for others."""
        if output.shape != hr.shape:
            return
        for number, (net, metric) in enumerate(self.networks.items()):
            for index, (words, change) in enumerate(_INPUTS.items()):
                for depth, border in enumerate((0, *(() if words else scales))):
                    height, width = (side - 2 * border for side in hr.shape[1:])
                    if min(height, width) < metric.smallest_side:
                        continue
                    image, reference = (change(each[:, border:, border:][:, :height, :width]) for each in (output, hr))
                    is_ours = not words and not border
                    parameters = () if net == "alex" else (("net", net),)
                    protocol = MetricProtocol(
                        self.name,
                        RGB.words,
                        ", ".join(filter(None, (NETS[net], words))),
                        border,
                        parameters=parameters if is_ours else None,
                        order=(index, number, depth),
                    )
                    yield protocol, metric.distances(image[None], reference).item()


_GREY = Plane("grey of MATLAB, unrounded", None, None, GREY)


class NIQEProtocols(ProtocolFamily):
    """Protocols of NIQE with the LIVE model."""

    title = "NIQE"
    tried = "the LIVE model on grey, Y of BT.601 and Y of YIQ, rounded or not; crops of 0 and the scale"
    not_tried = ("NIQE with MATLAB's model, which may not be packaged",)

    def values(self, output: Tensor, hr: Tensor, scales: Sequence[int]) -> ProtocolValues:
        """Yield protocols and values of the output."""
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
                        protocol = MetricProtocol(
                            self.name, words, "", border, parameters=parameters, order=(number, depth)
                        )
                        yield protocol, metric.score(inner, "")


class PyiqaProtocols(ProtocolFamily):
    """Variants of a metric of pyiqa, each with the weights of another training or other options."""

    gpu = True

    def __init__(self, name: str) -> None:
        """Raise MetricError for an unknown name, and if no variant can be loaded."""
        from srbench.metrics.pyiqa_variants import variants

        super().__init__(name)
        names = variants(name.removeprefix(PYIQA))
        self.loaded: dict[str, ImageMetric] = {}
        missing = []
        for variant in names:
            try:
                metric = open_metric(PYIQA + variant).metric
                assert isinstance(metric, ImageMetric)
                self.loaded[PYIQA + variant] = metric
            except SRBenchError as error:
                missing.append(str(error))
        if not self.loaded:
            raise MetricError(missing[0])
        self.metrics = tuple(self.loaded)
        self.not_tried = tuple(missing)
        self.title = f"{names[0]} of pyiqa"
        self.tried = f"{', '.join(self.loaded)}; no crops"

    def values(self, output: Tensor, hr: Tensor, scales: Sequence[int]) -> ProtocolValues:
        """Yield protocols and values; metrics that compare with HR are left out if sizes differ.

        Raises MetricError if a metric fails.
        """
        sample, reference = (image.float() / 255 for image in (output, hr))
        for number, (name, metric) in enumerate(self.loaded.items()):
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


class SetProtocols(ProtocolFamily):
    """Protocols of FID or KID; the values are features of output and HR."""

    is_mean = False
    gpu = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.title = name.upper()
        self.tried = f"resizing of clean-fid, pytorch-fid and torch-fidelity; whole images and {PATCH}x{PATCH} patches"
        self.network = inception()

    def values(self, output: Tensor, hr: Tensor, scales: Sequence[int]) -> ProtocolValues:
        """Yield protocols and the features of output and HR under each.

        Images that are not quantised are left out, as are patches of images that are smaller.
        """
        if output.is_floating_point() or hr.is_floating_point():
            return
        has_patches = min(*output.shape[1:], *hr.shape[1:]) >= PATCH
        wanted = [InceptionInput(mode, patch) for patch in (0, PATCH)[: 1 + has_patches] for mode in MODES]
        features = [
            {seen: self.network.features([image], seen, str(image.device)) for seen in wanted} for image in (output, hr)
        ]
        for index, seen in enumerate(wanted):
            given = {"mode": seen.mode if seen.mode != "clean" else "", "patch": str(seen.patch or "")}
            protocol = MetricProtocol(
                self.name,
                RESIZING[seen.mode],
                border=None,
                placement=f"patches of {PATCH}x{PATCH} in two grids" if seen.patch else "",
                parameters=tuple((name, text) for name, text in given.items() if text),
                order=(index,),
            )
            yield protocol, [each[seen] for each in features]

    def gathered(
        self, protocol: MetricProtocol, images: Sequence[Sequence[Any]]
    ) -> Iterator[tuple[MetricProtocol, float]]:
        """Yield the distance of all outputs and all HR images; the first sample of each image counts.

        Raises MetricError for fewer than two images.
        """
        outputs, references = (np.concatenate([samples[0][side] for samples in images]) for side in (0, 1))
        yield protocol, distance(protocol.metric, outputs, references)
