"""PSNR under every protocol. Each plane is computed once; crops and placements are views of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from srbench.explaining.protocols.family import ProtocolFamily, ProtocolValues
from srbench.explaining.protocols.table import AS_GIVEN, EXCHANGED, GREY_709, USUAL, MetricProtocol, borders, placements
from srbench.metrics.pixel import decibels, mean_squared_errors

OF_THE_MEAN = "of the mean squared error over all images"
_USUAL = {plane.words for plane in USUAL}


class PSNRProtocols(ProtocolFamily):
    """Protocols of PSNR; the values are mean squared errors."""

    title = "PSNR"
    tried = (
        "RGB; Y of BT.601 rounded, unrounded; Y of YIQ; grey of OpenCV and of scikit-image; BGR taken for RGB; "
        "crops of 0, the scale, twice the scale and the scale + 6, at scale 1 also 4; means of dB and of squared "
        "errors; shifts by one pixel; images cut to multiples of the scale and of 12 at each end"
    )

    def values(self, output: Tensor, hr: Tensor, scales: Sequence[int]) -> ProtocolValues:
        """Yield protocols and mean squared errors: usual planes at every placement, rare planes only as given."""
        for number, plane in enumerate((*USUAL, GREY_709, *EXCHANGED)):
            output_plane, hr_plane = plane.of(output, is_output=True), plane.of(hr, is_output=False)
            known: dict[tuple[tuple[int, ...], int], float] = {}
            for index, placement in enumerate(placements(scales) if plane in USUAL else (AS_GIVEN,)):
                windows = placement.windows(output.shape, hr.shape)
                for depth, border in enumerate(borders(scales)):
                    if min(windows[4:]) <= 2 * border:
                        continue
                    if (windows, border) not in known:
                        known[windows, border] = _error(output_plane, hr_plane, windows, border)
                    parameters = plane.parameters if placement is AS_GIVEN else None
                    protocol = MetricProtocol(
                        self.name,
                        plane.words,
                        "",
                        border,
                        placement.words,
                        parameters=parameters,
                        order=(index, number, depth),
                    )
                    yield protocol, known[windows, border]

    def gathered(
        self, protocol: MetricProtocol, images: Sequence[Sequence[Any]]
    ) -> Iterator[tuple[MetricProtocol, float]]:
        """Yield protocols and PSNR in dB.

        The mean of decibels leaves out identical images. The mean of errors is tried only if everything else is usual.
        """
        by_image = [decibels(torch.tensor(errors, dtype=torch.float64)).mean().item() for errors in images]
        finite = [value for value in by_image if math.isfinite(value)]
        yield protocol, fmean(finite) if finite else math.inf
        if len(images) > 1 and not protocol.placement and protocol.channels in _USUAL:
            mean = torch.tensor(fmean(fmean(errors) for errors in images), dtype=torch.float64)
            order = (*protocol.order, 1)
            yield replace(protocol, mean=OF_THE_MEAN, parameters=None, order=order), decibels(mean).item()


def _error(output: Tensor, hr: Tensor, windows: tuple[int, ...], border: int) -> float:
    """Return the mean squared error inside the windows, without the border."""
    top, left, hr_top, hr_left, height, width = windows
    rows, columns = height - 2 * border, width - 2 * border
    image = output[:, top + border :, left + border :][:, :rows, :columns]
    reference = hr[:, hr_top + border :, hr_left + border :][:, :rows, :columns]
    return mean_squared_errors(image[None], reference).item()
