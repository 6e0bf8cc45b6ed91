"""SSIM under every protocol: windows, borders, ranges. A crop is a part of the whole image's map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.explaining.protocols.family import ProtocolFamily, ProtocolValues
from srbench.explaining.protocols.table import (
    AS_GIVEN,
    EXCHANGED,
    GREY_709,
    USUAL,
    YIQ_ROUNDED,
    MetricProtocol,
    Plane,
    borders,
    placements,
)
from srbench.metrics.pixel import WINDOWS, Array, SSIMWindow, similarity_maps

_SIDE = WINDOWS["gaussian11"].side
_PADDED_PLANES = USUAL[:3]
_RANGES = {
    "range 1 for values in 0..255": 1.0,
    "range 2 for values in 0..1": 2.0 * 255,
    "range 255 for values in 0..1": 255.0 * 255,
}
"""Mismatched data ranges in words, converted to values in 0..255."""


@dataclass(frozen=True)
class _Form:
    """A window and a data range of SSIM."""

    way: str
    """The form in words."""
    window: SSIMWindow
    parameters: tuple[tuple[str, str], ...] | None = None
    """Parameters of our SSIM that select it; None if none do."""
    negative: str = "kept"
    data_range: float = 255

    def maps(self, output: Tensor, hr: Tensor) -> Array:
        """Return SSIM of every window inside (c, h, w) float64 in 0..255."""
        return similarity_maps(output, hr, self.window, self.negative, self.data_range)


_GAUSSIAN, _UNIFORM = WINDOWS["gaussian11"], WINDOWS["uniform7"]
_WORDS = {_GAUSSIAN: "11x11 Gaussian window", _UNIFORM: "7x7 uniform window"}
_INSIDE = (
    _Form(_WORDS[_GAUSSIAN], _GAUSSIAN, (("window", "gaussian11"),)),
    _Form(_WORDS[_UNIFORM], _UNIFORM, ()),
    _Form(
        f"{_WORDS[_GAUSSIAN]}, negative factors 0",
        _GAUSSIAN,
        (("window", "gaussian11"), ("negative", "zero")),
        negative="zero",
    ),
    _Form(f"{_WORDS[_GAUSSIAN]}, sample covariance", replace(_GAUSSIAN, has_sample_covariance=True)),
    _Form(f"{_WORDS[_UNIFORM]}, population covariance", replace(_UNIFORM, has_sample_covariance=False)),
    *(
        _Form(f"{_WORDS[window]}, {words}", window, data_range=highest)
        for words, highest in _RANGES.items()
        for window in (_GAUSSIAN, _UNIFORM)
    ),
)
"""Forms whose windows lie inside the image, the usual forms first."""
_OUTSIDE = {"zeros": "constant", "the edge repeated": "replicate"}
"""Paddings for windows that reach over the border, and torch's names for them."""


class SSIMProtocols(ProtocolFamily):
    """Protocols of SSIM."""

    title = "SSIM"
    tried = (
        "the channels and crops of PSNR; 11x11 Gaussian and 7x7 uniform windows, inside the image or over its border; "
        "ranges 255, 1 and 2 for values in 0..255 and 0..1; covariances of samples and populations; "
        "averaging of large images first; images cut to multiples of the scale and of 12 at each end"
    )

    def values(self, output: Tensor, hr: Tensor, scales: Sequence[int]) -> ProtocolValues:
        """Yield protocols and values: usual planes with every window, border and range, if cut only with usual windows.

        Shifts are not tried.
        """
        placed = [placement for placement in placements(scales) if placement.shift == (0, 0)]
        for number, plane in enumerate((*USUAL, YIQ_ROUNDED, GREY_709, *EXCHANGED)):
            output_plane, hr_plane = plane.of(output, is_output=True), plane.of(hr, is_output=False)
            known: dict[tuple[int, ...], list[_Map]] = {}
            for index, placement in enumerate(placed if plane in USUAL else placed[:1]):
                top, left, hr_top, hr_left, height, width = placement.windows(output.shape, hr.shape)
                if min(height, width) < _SIDE:
                    continue
                offset = (hr_top - top, hr_left - left)
                if offset not in known:  # maps of the overlap of both images
                    overlap = _overlap(output_plane, hr_plane, offset)
                    known[offset] = [*_maps(*overlap, scales, plane, is_first=index == 0)]
                start = top - max(-offset[0], 0), left - max(-offset[1], 0)
                for shown in known[offset][: None if index == 0 else 2]:  # placements of equal offset share maps
                    for depth, border in enumerate(borders(scales)):
                        value = shown.value(border, (*start, height, width))
                        if value is None:
                            continue
                        parameters = None
                        if shown.parameters is not None and plane.parameters is not None and placement is AS_GIVEN:
                            parameters = (*plane.parameters, *shown.parameters)
                        protocol = MetricProtocol(
                            self.name,
                            plane.words,
                            shown.way,
                            border,
                            placement.words,
                            parameters=parameters,
                            order=(index, shown.index, number, depth),
                        )
                        yield protocol, value


@dataclass(frozen=True)
class _Map:
    """SSIM of two images at every window, by one form."""

    index: int
    """Index in the table of forms, the most common first."""
    way: str
    parameters: tuple[tuple[str, str], ...] | None
    maps: Array
    side: int = 1
    """Side of the window, if the maps have only windows inside the image."""
    border: int | None = None
    """The border that was cut before; None if the maps serve all borders."""

    def value(self, border: int, part: tuple[int, ...]) -> float | None:
        """Return the mean over a part (top, left, height, width) without its border; None if that is empty."""
        if self.border is not None:
            return float(self.maps.mean()) if border == self.border else None
        top, left, height, width = part
        rows, columns = (side - 2 * border - self.side + 1 for side in (height, width))
        if min(rows, columns) < 1:
            return None
        return float(self.maps[:, top + border :, left + border :][:, :rows, :columns].mean())


def _overlap(output: Tensor, hr: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Cut both images to their overlap, where pixel (0, 0) of the output lies at ``offset`` in HR."""
    image = output[:, max(-offset[0], 0) :, max(-offset[1], 0) :]
    reference = hr[:, max(offset[0], 0) :, max(offset[1], 0) :]
    height, width = (min(sides) for sides in zip(image.shape[1:], reference.shape[1:], strict=True))
    return image[:, :height, :width], reference[:, :height, :width]


def _maps(output: Tensor, hr: Tensor, scales: Sequence[int], plane: Plane, *, is_first: bool) -> Iterator[_Map]:
    """Yield the maps of every form; rare forms only for usual planes at the first placement."""
    count = 2 if not is_first else None if plane in USUAL else 3
    for number, form in enumerate(_INSIDE[:count]):
        yield _Map(number, form.way, form.parameters, form.maps(output, hr), form.window.side)
    if not is_first or plane not in _PADDED_PLANES:
        return
    for border in (0, *(scales if len(scales) == 1 else ())):
        height, width = (side - 2 * border for side in output.shape[1:])
        if min(height, width) < _SIDE:
            continue
        inner = [each[:, border:, border:][:, :height, :width] for each in (output, hr)]
        for number, (way, maps) in enumerate(_over_the_border(*inner), 20):
            yield _Map(number, way, None, maps, border=border)


def _over_the_border(output: Tensor, hr: Tensor) -> Iterator[tuple[str, Array]]:
    """Yield words and maps for windows that reach over the border, and for images that are downscaled first."""
    gaussian, margin = _INSIDE[0], _SIDE // 2
    for words, mode in _OUTSIDE.items():
        padded = (F.pad(each, (margin,) * 4, mode=mode) for each in (output, hr))
        yield f"{gaussian.way} over the border ({words})", gaussian.maps(*padded)
    factor = max(1, int(min(output.shape[1:]) / 256 + 0.5))  # halves up, as in ssim.m
    if factor > 1:
        small = (averaged(each, factor) for each in (output, hr))
        yield f"{gaussian.way}, images averaged to about 256 pixels first", gaussian.maps(*small)


def averaged(image: Tensor, factor: int) -> Tensor:
    """Downscale by ``factor``: average over squares of that side and subsample, as in Wang et al.'s ssim.m."""
    from scipy.ndimage import uniform_filter

    centre = factor % 2 - 1  # MATLAB's centre of an even window is its upper left one
    blurred = uniform_filter(image.numpy(), (1, factor, factor), mode="reflect", origin=(0, centre, centre))
    return torch.from_numpy(blurred[:, ::factor, ::factor].copy())
