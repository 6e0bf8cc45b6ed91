"""SSIM under every protocol: windows, borders, ranges. A crop is a part of the map of the whole image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

import numpy as np

from srbench.metrics.pixel import WINDOWS
from srbench.metrics.protocols.table import (
    AS_GIVEN,
    EXCHANGED,
    GREY_709,
    USUAL,
    YIQ_ROUNDED,
    Array,
    Plane,
    Protocol,
    borders,
    placements,
)

_GAUSSIAN, _UNIFORM = (np.array(WINDOWS[name].weights, dtype=np.float64) for name in ("gaussian11", "uniform7"))
_SIDE = len(_GAUSSIAN)
_Parameters = tuple[tuple[str, str], ...]
_PADDED_PLANES = USUAL[:3]
_RANGES = {
    "range 1 for values in 0..255": 1.0,
    "range 2 for values in 0..1": 2.0 * 255,
    "range 255 for values in 0..1": 255.0 * 255,
}
"""Ranges that do not fit the values: by words, as if values lay in 0..255."""


@dataclass(frozen=True)
class _Moments:
    """Local statistics of two images, float32: differences of large numbers are already taken."""

    product: Array
    """Twice the product of the means."""
    squares: Array
    """Sum of the squares of the means."""
    spread: Array
    """Sum of the variances."""
    joint: Array
    """Twice the covariance."""

    def map(self, highest: float = 255, factor: float = 1, *, is_clipped: bool = False) -> Array:
        """Wang et al., 2004, eq. 13, at every window; ``factor`` makes it the sample covariance."""
        c1, c2 = np.float32((0.01 * highest) ** 2), np.float32((0.03 * highest) ** 2 / factor)
        above, below = self.joint + c2, self.spread + c2
        if is_clipped:
            np.maximum(above, 0, out=above)
        above *= self.product + c1
        below *= self.squares + c1
        above /= below
        return above

    def inside(self, margin: int) -> _Moments:
        """The moments without those near the border."""
        return _Moments(*(each[margin:-margin, margin:-margin] for each in self.__dict__.values()))


def _moments(one: Array, other: Array, taps: Array, outside: int) -> _Moments:
    import cv2

    taps = taps / taps.sum()
    fields = (one, other, one**2 + other**2, one * other)
    mean, its_mean, squares, products = (
        cv2.sepFilter2D(field, cv2.CV_64F, taps, taps, borderType=outside) for field in fields
    )
    of_means, product = mean**2 + its_mean**2, mean * its_mean
    found = 2 * product, of_means, squares - of_means, 2 * (products - product)
    return _Moments(*(each.astype(np.float32) for each in found))


def similarities(output: Array, hr: Array, scales: Sequence[int]) -> Iterator[tuple[Protocol, float]]:
    """Two images (3, H, W) RGB, uint8 or float64 in 0..255 -> protocols and values.

    Usual planes are compared with every window, border and range, at other placements with usual windows alone. A shift
    is not tried.
    """
    tried = [one for one in placements(scales) if one.shift == (0, 0)]
    for number, plane in enumerate((*USUAL, YIQ_ROUNDED, GREY_709, *EXCHANGED)):
        one, other = (_channels(plane.of(image, is_output=image is output)) for image in (output, hr))
        known: dict[tuple[int, ...], list[_Form]] = {}
        for place, placement in enumerate(tried if plane in USUAL else tried[:1]):
            top, left, its_top, its_left, height, width = placement.windows(output.shape[1:], hr.shape[1:])
            if min(height, width) < _SIDE:
                continue
            offset = (its_top - top, its_left - left)
            if offset not in known:  # maps of all that both images show
                first, second = _overlap(one, other, offset)
                known[offset] = [*_forms(first, second, scales, plane, is_first=place == 0)]
            start = top - max(-offset[0], 0), left - max(-offset[1], 0)
            for form in known[offset][: None if place == 0 else 2]:
                for depth, border in enumerate(borders(scales)):
                    value = form.value(border, (*start, height, width))
                    if value is None:
                        continue
                    parameters = None
                    if form.parameters is not None and plane.parameters is not None and placement is AS_GIVEN:
                        parameters = (*plane.parameters, *form.parameters)
                    protocol = Protocol(
                        "ssim",
                        plane.words,
                        form.way,
                        border,
                        placement.words,
                        parameters=parameters,
                        order=(place, form.place, number, depth),
                    )
                    yield protocol, value


@dataclass(frozen=True)
class _Form:
    """A window and a range, with the maps of all channels."""

    place: int
    """Place in the table, the most common first."""
    way: str
    """Words for it."""
    parameters: _Parameters | None
    maps: tuple[Array, ...]
    side: int = 1
    """Side of the window, if maps show only windows that lie inside the image."""
    border: int | None = None
    """The only border to which the maps belong; None: all."""

    def value(self, border: int, part: tuple[int, ...]) -> float | None:
        """Mean over channels and windows inside a part (top, left, height, width) without its border; None if empty."""
        import cv2

        if self.border is not None:
            return fmean(cv2.mean(each)[0] for each in self.maps) if border == self.border else None
        top, left, height, width = part
        rows, columns = (side - 2 * border - self.side + 1 for side in (height, width))
        if min(rows, columns) < 1:
            return None
        return fmean(cv2.mean(each[top + border :, left + border :][:rows, :columns])[0] for each in self.maps)


def _channels(plane: Array) -> list[Array]:
    return [plane] if plane.ndim == 2 else [np.ascontiguousarray(channel) for channel in np.moveaxis(plane, -1, 0)]


def _overlap(one: list[Array], other: list[Array], offset: tuple[int, int]) -> tuple[list[Array], list[Array]]:
    """The parts of both images that lie upon each other, where pixel 0 of one lies at ``offset`` in the other."""
    starts = [max(-each, 0) for each in offset], [max(each, 0) for each in offset]
    first, second = (
        [each[top:, left:] for each in image] for image, (top, left) in zip((one, other), starts, strict=True)
    )
    height, width = (min(sides) for sides in zip(first[0].shape, second[0].shape, strict=True))
    return [each[:height, :width] for each in first], [each[:height, :width] for each in second]


def _forms(
    one: list[Array], other: list[Array], scales: Sequence[int], plane: Plane, *, is_first: bool
) -> Iterator[_Form]:
    """Windows and ranges of two lists of channels; rare ones for usual planes as they are given alone."""
    import cv2

    pairs = [*zip(one, other, strict=True)]
    whole = [_moments(*pair, _GAUSSIAN, cv2.BORDER_CONSTANT) for pair in pairs]
    uniform = [_moments(*pair, _UNIFORM, cv2.BORDER_CONSTANT).inside(3) for pair in pairs]
    inside = _inside([each.inside(5) for each in whole], uniform)
    for number, (way, parameters, maps) in enumerate(islice(inside, None if is_first and plane in USUAL else 3)):
        yield _Form(number, way, parameters, (*maps,), _SIDE if "11x11" in way else 7)
    if not is_first or plane not in _PADDED_PLANES:
        return
    for border in (0, *(scales if len(scales) == 1 else ())):
        height, width = (side - 2 * border for side in one[0].shape)
        if min(height, width) < _SIDE:
            continue
        inner = [[each[border:][:height, border : border + width] for each in image] for image in (one, other)]
        for number, (way, maps) in enumerate(_over_the_border(inner, None if border else whole), 20):
            yield _Form(number, way, None, (*maps,), border=border)


def _inside(gaussian: list[_Moments], uniform: list[_Moments]) -> Iterator[tuple[str, _Parameters | None, list[Array]]]:
    """Words, parameters and maps of every window that lies inside the image, and of every range; usual ones first."""
    window = (("window", "gaussian11"),)
    yield "11x11 Gaussian window", window, [each.map() for each in gaussian]
    yield "7x7 uniform window", (), [each.map(factor=49 / 48) for each in uniform]
    clipped = (*window, ("negative", "zero"))
    yield "11x11 Gaussian window, negative factors 0", clipped, [each.map(is_clipped=True) for each in gaussian]
    sample = [each.map(factor=121 / 120) for each in gaussian]
    yield "11x11 Gaussian window, sample covariance", None, sample
    yield "7x7 uniform window, population covariance", None, [each.map() for each in uniform]
    for words, highest in _RANGES.items():
        yield f"11x11 Gaussian window, {words}", None, [each.map(highest) for each in gaussian]
        yield f"7x7 uniform window, {words}", None, [each.map(highest, 49 / 48) for each in uniform]


def _over_the_border(inner: list[list[Array]], whole: list[_Moments] | None) -> Iterator[tuple[str, list[Array]]]:
    """Words and maps of windows that reach over the border, and of images that are downscaled first."""
    import cv2

    pairs = [*zip(inner[0], inner[1], strict=True)]
    zeros = whole or [_moments(one, other, _GAUSSIAN, cv2.BORDER_CONSTANT) for one, other in pairs]
    yield "11x11 Gaussian window over the border (zeros)", [each.map() for each in zeros]
    edge = [_moments(one, other, _GAUSSIAN, cv2.BORDER_REPLICATE) for one, other in pairs]
    yield "11x11 Gaussian window over the border (the edge repeated)", [each.map() for each in edge]
    factor = max(1, round(min(inner[0][0].shape) / 256))
    if factor > 1:
        small = [(_averaged(one, factor), _averaged(other, factor)) for one, other in pairs]
        moments = [_moments(*pair, _GAUSSIAN, cv2.BORDER_CONSTANT).inside(5) for pair in small]
        yield "11x11 Gaussian window, images averaged to about 256 pixels first", [each.map() for each in moments]


def _averaged(image: Array, factor: int) -> Array:
    """Every so many rows and columns of the mean over a square of that side, as in Wang et al.'s ssim.m."""
    import cv2

    anchor = ((factor - 1) // 2,) * 2  # MATLAB's centre of an even window is the upper left one
    blurred = cv2.blur(image, (factor, factor), anchor=anchor, borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(blurred[::factor, ::factor])
