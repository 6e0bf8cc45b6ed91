"""SSIM under every protocol: windows, borders, ranges. A crop is a part of the map of the whole image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.metrics.pixel import WINDOWS, Array, similarity_maps
from srbench.metrics.protocols.table import (
    AS_GIVEN,
    EXCHANGED,
    GREY_709,
    USUAL,
    YIQ_ROUNDED,
    Plane,
    Protocol,
    borders,
    placements,
)

_SIDE = WINDOWS["gaussian11"].side
_PADDED_PLANES = USUAL[:3]
_RANGES = {
    "range 1 for values in 0..255": 1.0,
    "range 2 for values in 0..1": 2.0 * 255,
    "range 255 for values in 0..1": 255.0 * 255,
}
"""Ranges that do not fit the values: by words, as if values lay in 0..255."""


@dataclass(frozen=True)
class _Form:
    """A window and a range: arguments of ``similarity_maps``."""

    way: str
    """Words for it."""
    window: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[tuple[str, str], ...] | None = None
    """Parameters of SSIM that choose it; None where there are none."""

    def maps(self, one: Tensor, other: Tensor) -> Array:
        """(c, h, w) float64 in 0..255 -> a value for every window inside."""
        return similarity_maps(one, other, WINDOWS[self.window], **self.arguments)


_WORDS = {"gaussian11": "11x11 Gaussian window", "uniform7": "7x7 uniform window"}
_INSIDE = (
    _Form(_WORDS["gaussian11"], "gaussian11", {}, (("window", "gaussian11"),)),
    _Form(_WORDS["uniform7"], "uniform7", {}, ()),
    _Form(
        f"{_WORDS['gaussian11']}, negative factors 0",
        "gaussian11",
        {"negative": "zero"},
        (("window", "gaussian11"), ("negative", "zero")),
    ),
    _Form(f"{_WORDS['gaussian11']}, sample covariance", "gaussian11", {"use_sample_covariance": True}),
    _Form(f"{_WORDS['uniform7']}, population covariance", "uniform7", {"use_sample_covariance": False}),
    *(
        _Form(f"{_WORDS[window]}, {words}", window, {"data_range": highest})
        for words, highest in _RANGES.items()
        for window in ("gaussian11", "uniform7")
    ),
)
"""Windows that lie inside the image, the usual ones first."""
_OUTSIDE = {"zeros": "constant", "the edge repeated": "replicate"}
"""Pixels that a window sees over the border, and torch's words for them."""


def similarities(output: Tensor, hr: Tensor, scales: Sequence[int]) -> Iterator[tuple[Protocol, float]]:
    """Two images (3, H, W) RGB, uint8 or float64 in 0..255 -> protocols and values.

    Usual planes are compared with every window, border and range, at other placements with usual windows alone. A shift
    is not tried.
    """
    tried = [one for one in placements(scales) if one.shift == (0, 0)]
    for number, plane in enumerate((*USUAL, YIQ_ROUNDED, GREY_709, *EXCHANGED)):
        one, other = plane.of(output, is_output=True), plane.of(hr, is_output=False)
        known: dict[tuple[int, ...], list[_Map]] = {}
        for place, placement in enumerate(tried if plane in USUAL else tried[:1]):
            top, left, its_top, its_left, height, width = placement.windows(output.shape, hr.shape)
            if min(height, width) < _SIDE:
                continue
            offset = (its_top - top, its_left - left)
            if offset not in known:  # maps of all that both images show
                first, second = _overlap(one, other, offset)
                known[offset] = [*_maps(first, second, scales, plane, is_first=place == 0)]
            start = top - max(-offset[0], 0), left - max(-offset[1], 0)
            for shown in known[offset][: None if place == 0 else 2]:  # placements may share the maps of the first
                for depth, border in enumerate(borders(scales)):
                    value = shown.value(border, (*start, height, width))
                    if value is None:
                        continue
                    parameters = None
                    if shown.parameters is not None and plane.parameters is not None and placement is AS_GIVEN:
                        parameters = (*plane.parameters, *shown.parameters)
                    protocol = Protocol(
                        "ssim",
                        plane.words,
                        shown.way,
                        border,
                        placement.words,
                        parameters=parameters,
                        order=(place, shown.place, number, depth),
                    )
                    yield protocol, value


@dataclass(frozen=True)
class _Map:
    """Values of a form at every window of two images."""

    place: int
    """Place in the table, the most common first."""
    way: str
    parameters: tuple[tuple[str, str], ...] | None
    maps: Array
    side: int = 1
    """Side of the window, if maps show only windows that lie inside the image."""
    border: int | None = None
    """The only border to which the maps belong; None: all."""

    def value(self, border: int, part: tuple[int, ...]) -> float | None:
        """Mean over channels and windows inside a part (top, left, height, width) without its border; None if empty."""
        if self.border is not None:
            return float(self.maps.mean()) if border == self.border else None
        top, left, height, width = part
        rows, columns = (side - 2 * border - self.side + 1 for side in (height, width))
        if min(rows, columns) < 1:
            return None
        return float(self.maps[:, top + border :, left + border :][:, :rows, :columns].mean())


def _overlap(one: Tensor, other: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The parts of both images that lie upon each other, where pixel 0 of one lies at ``offset`` in the other."""
    first = one[:, max(-offset[0], 0) :, max(-offset[1], 0) :]
    second = other[:, max(offset[0], 0) :, max(offset[1], 0) :]
    height, width = (min(sides) for sides in zip(first.shape[1:], second.shape[1:], strict=True))
    return first[:, :height, :width], second[:, :height, :width]


def _maps(one: Tensor, other: Tensor, scales: Sequence[int], plane: Plane, *, is_first: bool) -> Iterator[_Map]:
    """Maps of every window and range; rare ones for usual planes as they are given alone."""
    count = 2 if not is_first else None if plane in USUAL else 3
    for number, form in enumerate(_INSIDE[:count]):
        yield _Map(number, form.way, form.parameters, form.maps(one, other), WINDOWS[form.window].side)
    if not is_first or plane not in _PADDED_PLANES:
        return
    for border in (0, *(scales if len(scales) == 1 else ())):
        height, width = (side - 2 * border for side in one.shape[1:])
        if min(height, width) < _SIDE:
            continue
        inner = [each[:, border:, border:][:, :height, :width] for each in (one, other)]
        for number, (way, maps) in enumerate(_over_the_border(*inner), 20):
            yield _Map(number, way, None, maps, border=border)


def _over_the_border(one: Tensor, other: Tensor) -> Iterator[tuple[str, Array]]:
    """Words and maps of windows that reach over the border, and of images that are downscaled first."""
    gaussian, margin = _INSIDE[0], _SIDE // 2
    for words, mode in _OUTSIDE.items():
        wider = (F.pad(each, (margin,) * 4, mode=mode) for each in (one, other))
        yield f"{gaussian.way} over the border ({words})", gaussian.maps(*wider)
    factor = max(1, round(min(one.shape[1:]) / 256))
    if factor > 1:
        small = (averaged(each, factor) for each in (one, other))
        yield f"{gaussian.way}, images averaged to about 256 pixels first", gaussian.maps(*small)


def averaged(image: Tensor, factor: int) -> Tensor:
    """Every so many rows and columns of the mean over a square of that side, as in Wang et al.'s ssim.m."""
    from scipy.ndimage import uniform_filter

    centre = factor % 2 - 1  # MATLAB's centre of an even window is the upper left one
    blurred = uniform_filter(image.numpy(), (1, factor, factor), mode="reflect", origin=(0, centre, centre))
    return torch.from_numpy(blurred[:, ::factor, ::factor].copy())
