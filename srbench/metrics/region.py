"""Region of two images that is compared: all channels or the luma, with or without a border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from srbench.images.io import luma
from srbench.interfaces import ImagePair
from srbench.metrics import MetricError


@dataclass(frozen=True)
class Region:
    """A part of the numbers of an image."""

    channels: str
    """``RGB``; or ``Y``, the BT.601 luma rounded to uint8 in 16..235, as MATLAB's ``rgb2ycbcr`` gives it."""
    border: int | str
    """Pixels left out at each side; ``scale``: as many as the scale."""

    def __post_init__(self) -> None:
        """Raises MetricError for values that mean nothing."""
        if self.channels not in ("RGB", "Y"):
            raise MetricError(f"channels is {self.channels!r}; choose RGB or Y")
        if self.border != "scale" and (isinstance(self.border, str) or self.border < 0):
            raise MetricError(f"border is {self.border!r}; give a number of pixels, or scale")

    @property
    def needs(self) -> tuple[Literal["HR", "LR"], ...]:
        """Images that it depends on: a border of the scale needs LR, which alone tells the scale."""
        return ("HR", "LR") if self.border == "scale" else ("HR",)

    @property
    def suffix(self) -> str:
        """Suffix of a metric's title: ``-Y``, or nothing."""
        return "-Y" if self.channels == "Y" else ""

    def cropped(self, further: int = 0) -> str:
        """The border as a part of a signature, with what the metric itself leaves out: ``crop3``, ``crop(scale+5)``."""
        if isinstance(self.border, int):
            return f"crop{self.border + further}"
        return f"crop(scale+{further})" if further else "crop(scale)"

    @property
    def sentence(self) -> str:
        """The region as a part of a protocol."""
        channels = ", Y of BT.601 in 16..235, rounded to uint8" if self.channels == "Y" else ""
        border = "as many pixels as the scale" if self.border == "scale" else f"{self.border} pixels"
        return f"uint8 RGB by {{quantize}}{channels}, {f'{border} left out at each side' if self.border else 'no crop'}"

    def of(self, images: Tensor, pair: ImagePair) -> Tensor:
        """uint8 (n, 3, H, W), as large as HR -> uint8 (n, 3, h, w) or (n, 1, h, w).

        Raises MetricError where the border leaves nothing.
        """
        width = pair.hr.shape[-2] // pair.lr.shape[-2] if isinstance(self.border, str) else self.border
        height_left, width_left = (side - 2 * width for side in images.shape[-2:])
        if min(height_left, width_left) < 1:
            raise MetricError(f"{pair.name}: a border of {width} pixels leaves nothing; use larger images")
        inner = images[..., width : width + height_left, width : width + width_left]
        return luma(inner).unsqueeze(-3) if self.channels == "Y" else inner.contiguous()
