"""PSNR under every protocol: a plane is made once, and a crop or a placement is a view of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor

from srbench.metrics.pixel import decibels, mean_squared_errors
from srbench.metrics.protocols.table import AS_GIVEN, EXCHANGED, GREY_709, USUAL, Protocol, borders, placements

OF_THE_MEAN = "of the mean squared error over all images"
_USUAL = {plane.words for plane in USUAL}


def squared_errors(output: Tensor, hr: Tensor, scales: Sequence[int]) -> Iterator[tuple[Protocol, float]]:
    """Two images (3, H, W) RGB, uint8 or float64 in 0..255 -> protocols and mean squared errors.

    Usual planes are compared at every placement, the others as they are given.
    """
    for number, plane in enumerate((*USUAL, GREY_709, *EXCHANGED)):
        one, other = plane.of(output, is_output=True), plane.of(hr, is_output=False)
        known: dict[tuple[tuple[int, ...], int], float] = {}
        for place, placement in enumerate(placements(scales) if plane in USUAL else (AS_GIVEN,)):
            windows = placement.windows(output.shape, hr.shape)
            for depth, border in enumerate(borders(scales)):
                if min(windows[4:]) <= 2 * border:
                    continue
                if (windows, border) not in known:
                    known[windows, border] = _error(one, other, windows, border)
                parameters = plane.parameters if placement is AS_GIVEN else None
                protocol = Protocol(
                    "psnr",
                    plane.words,
                    "",
                    border,
                    placement.words,
                    parameters=parameters,
                    order=(place, number, depth),
                )
                yield protocol, known[windows, border]


def mean_decibels(protocol: Protocol, images: Sequence[Sequence[float]]) -> Iterator[tuple[Protocol, float]]:
    """Mean squared errors of all images, perhaps of several outputs each -> the protocols of their mean, in dB.

    Decibels are averaged, without identical images. The mean of errors is tried where all else is usual.
    """
    by_image = [decibels(torch.tensor(errors, dtype=torch.float64)).mean().item() for errors in images]
    finite = [value for value in by_image if math.isfinite(value)]
    yield protocol, fmean(finite) if finite else math.inf
    if len(images) > 1 and not protocol.placement and protocol.channels in _USUAL:
        mean = torch.tensor(fmean(fmean(errors) for errors in images), dtype=torch.float64)
        order = (*protocol.order, 1)
        yield replace(protocol, mean=OF_THE_MEAN, parameters=None, order=order), decibels(mean).item()


def _error(one: Tensor, other: Tensor, windows: tuple[int, ...], border: int) -> float:
    """Mean squared error inside the windows, without the border."""
    top, left, its_top, its_left, height, width = windows
    rows, columns = height - 2 * border, width - 2 * border
    first = one[:, top + border :, left + border :][:, :rows, :columns]
    second = other[:, its_top + border :, its_left + border :][:, :rows, :columns]
    return mean_squared_errors(first[None], second).item()
