"""The table of protocols: planes, borders, and placements of output against HR.

Unusual choices (exchanged channels, a shift, another mean) are tried one at a time, never combined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from srbench.metrics.pixel import Colour, ComparedRegion, weighted


@dataclass(frozen=True)
class Plane:
    """The values of an image that are compared: all three channels, or one channel computed from them."""

    words: str
    parameters: tuple[tuple[str, str], ...] | None = None
    """Parameters of our PSNR and SSIM that select it; None if none do."""
    region: ComparedRegion | None = None
    """The same plane as a ComparedRegion of these metrics; None: ``weights`` define it."""
    weights: tuple[float, float, float] = (0, 0, 0)
    """Weights of R, G and B without a region; the result is not rounded."""
    exchanged: str = ""
    """``both`` if R and B are exchanged in both images, ``output`` if only in the output."""

    def of(self, image: Tensor, *, is_output: bool) -> Tensor:
        """Map (3, H, W) RGB, uint8 or float64 in 0..255, to (1, H, W), or (3, H, W) for all channels, float64."""
        if self.exchanged == "both" or (self.exchanged and is_output):
            image = image.flip(0)
        return weighted(image, self.weights)[None] if self.region is None else self.region.channels_of(image).double()


def _luma(words: str, colour: Colour, *, rounded: bool) -> Plane:
    parameters = {"channels": "Y"} | ({} if rounded else {"round": "no"})
    parameters |= {} if colour == "bt601" else {"colour": colour}
    return Plane(words, tuple(parameters.items()), ComparedRegion("Y", 0, rounded, colour))


RGB = Plane("RGB", (), ComparedRegion("RGB", 0))
Y = _luma("Y of BT.601 (16..235), rounded", "bt601", rounded=True)
Y_UNROUNDED = _luma("Y of BT.601 (16..235), unrounded", "bt601", rounded=False)
YIQ = _luma("Y of YIQ (0..255), unrounded", "yiq", rounded=False)
YIQ_ROUNDED = _luma("Y of YIQ (0..255), rounded", "yiq", rounded=True)
GREY = _luma("grey of OpenCV (0..255), rounded", "full", rounded=True)
GREY_709 = Plane("grey of scikit-image (BT.709), unrounded", None, None, (0.2125, 0.7154, 0.0721))
USUAL = (RGB, Y, Y_UNROUNDED, YIQ, GREY)
"""Planes of most papers, the most common first."""
EXCHANGED = (
    replace(Y, words="Y of BT.601, rounded, of BGR taken for RGB", exchanged="both", parameters=None),
    replace(Y_UNROUNDED, words="Y of BT.601, unrounded, of BGR taken for RGB", exchanged="both", parameters=None),
    replace(YIQ, words="Y of YIQ, unrounded, of BGR taken for RGB", exchanged="both", parameters=None),
    replace(RGB, words="RGB, the output as BGR", exchanged="output", parameters=None),
    replace(Y, words="Y of BT.601, rounded, the output as BGR", exchanged="output", parameters=None),
)
"""Planes of mistakes with the order of channels."""


@dataclass(frozen=True)
class Placement:
    """How output and HR are aligned and cut before they are compared."""

    words: str = ""
    align: tuple[float, float] = (0, 0)
    """If sizes differ, the share of the excess cut from the larger image's top and left: 0, 0.5 or 1."""
    shift: tuple[int, int] = (0, 0)
    """Pixels by which the output lies further down and further right."""
    multiple: int = 1
    """Sides are cut to a multiple of this."""
    cut: float = 0
    """Share of that cut taken from the top and left, instead of the bottom and right."""

    def windows(self, output: Sequence[int], hr: Sequence[int]) -> tuple[int, ...]:
        """Map the shapes (3, H, W) to top and left in the output, top and left in HR, height and width (may be < 1)."""
        axes = [self._axis(*sides) for sides in zip(output[1:], hr[1:], self.align, self.shift, strict=True)]
        return tuple(number for numbers in zip(*axes, strict=True) for number in numbers)

    def _axis(self, output: int, hr: int, align: float, shift: int) -> tuple[int, int, int]:
        """Return the first pixel in the output, the first pixel in HR, and the number of pixels."""
        both = min(output, hr)
        left_over = both % self.multiple
        first = int(left_over * self.cut)
        starts = [int((size - both) * align) + first + max(way, 0) for size, way in ((output, shift), (hr, -shift))]
        return starts[0], starts[1], both - left_over - abs(shift)


AS_GIVEN = Placement()
SHIFTS = tuple(
    Placement(
        f"the output moved back, as it lies one pixel {' and '.join(filter(None, (vertical, horizontal)))}",
        shift=(down, right),
    )
    for down, vertical in ((-1, "up"), (0, ""), (1, "down"))
    for right, horizontal in ((-1, "left"), (0, ""), (1, "right"))
    if vertical or horizontal
)
ALIGNMENTS = (
    Placement("the larger image cut to its centre", (0.5, 0.5)),
    Placement("the larger image cut at the top and left", (1, 1)),
    Placement("the larger image cut at the top and right", (1, 0)),
    Placement("the larger image cut at the bottom and left", (0, 1)),
)
_CORNERS = {"at the bottom and right": 0, "around the centre": 0.5, "at the top and left": 1}


def placements(scales: Iterable[int]) -> tuple[Placement, ...]:
    """Return all placements to try. If output and HR have equal sizes, some of them coincide."""
    cuts = [
        Placement(f"both cut {corner} to multiples of {multiple}", multiple=multiple, cut=cut)
        for multiple in sorted({*scales, 12} - {1})
        for corner, cut in _CORNERS.items()
    ]
    return (AS_GIVEN, *cuts, *ALIGNMENTS, *SHIFTS)


def borders(scales: Iterable[int]) -> tuple[int, ...]:
    """Return the borders to try, the most common first: 0, the scale, twice the scale, the scale + 6; at scale 1 also
    4.

    Scale 1 in code made for super-resolution crops 1 pixel, 7 (the scale + 6), or the 4 of its setting for scale 4.
    """
    known = tuple(scales)
    by_scale = (0, *known, *(2 * scale for scale in known), *(scale + 6 for scale in known))
    return tuple(dict.fromkeys(by_scale + ((4,) if 1 in known else ())))


ProtocolSetting = tuple[str, int | None, str, str, str, bool]
"""Colour, border, placement, levels, frames and mean over clips of a protocol."""


@dataclass(frozen=True)
class MetricProtocol:
    """A way to compute a metric over a set of images."""

    metric: str
    channels: str
    """The plane in words."""
    way: str = ""
    """In words, options that only this metric has, such as a window or network."""
    border: int | None = 0
    """Number of pixels left out at each side; None for a metric without crops."""
    placement: str = ""
    levels: str = ""
    """Quantisation of files with more than 8 bits, in words."""
    mean: str = ""
    """The mean over images in words, unless it is the mean of the values."""
    samples: str = ""
    """The mean over the samples of an image in words, if there are several."""
    frames: str = ""
    """In words, which frames of each clip count, or which sample of each image, unless all do."""
    of_clips: bool = False
    """True for the mean over clips of their means."""
    parameters: tuple[tuple[str, str], ...] | None = None
    """Parameters of our metric that compute it; None if none do."""
    order: tuple[int, ...] = field(default=(), compare=False)
    """Sort key: the most common protocol first."""

    @property
    def words(self) -> str:
        """The protocol in words."""
        border = () if self.border is None else ("no crop" if self.border == 0 else f"crop {self.border}",)
        clips = "mean over clips" if self.of_clips else ""
        more = (self.placement, self.levels, self.mean, self.samples, self.frames, clips)
        return ", ".join(filter(None, (self.channels, self.way, *border, *more)))

    @property
    def text(self) -> str | None:
        """Value of ``--metrics`` that computes it; None if there is none."""
        if self.parameters is None:
            return None
        crop = (("border", str(self.border)),) if self.border else ()
        return "+".join([self.metric, *(f"{name}={value}" for name, value in (*self.parameters, *crop))])

    @property
    def colour(self) -> str:
        """Channels without their range and rounding."""
        return self.channels.partition(" (")[0]

    @property
    def setting(self) -> ProtocolSetting:
        """Choices that the metrics of a table usually share."""
        return self.colour, self.border, self.placement, self.levels, self.frames, self.of_clips
