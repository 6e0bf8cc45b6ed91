"""The score of the perceptual track of NTIRE 2025, image super-resolution x4.

Chen et al., "NTIRE 2025 challenge on image super-resolution (x4): methods and results", 2025, and the organisers'
repository (github.com/zhengchen1999/NTIRE2025_ImageSR_x4): (1 - LPIPS) + (1 - DISTS) + CLIPIQA + MANIQA + MUSIQ / 100 +
max(0, (10 - NIQE) / 10), each by pyiqa with its defaults.
"""

from __future__ import annotations

from torch import Tensor

from srbench.interfaces import ImagePair, MetricFacts
from srbench.metrics.from_pyiqa import PyIQA
from srbench.metrics.perceptual import LPIPS

TERMS = ("dists", "clipiqa", "maniqa", "musiq", "niqe")
"""Metrics of pyiqa in the score. LPIPS is our own: pyiqa's is the same as that of the lpips package."""


class NTIRE25Score:
    """The score that ranks the perceptual track; at most 6."""

    def __init__(self) -> None:
        self._lpips, self._terms = LPIPS(), {name: PyIQA(name) for name in TERMS}
        self.facts = MetricFacts(
            name="ntire25_score",
            title="score",
            direction=1,
            digits=3,
            signature=self._terms["niqe"].facts.signature,
            gpu=True,
            protocol=(
                "uint8 RGB by {quantize}, (1 - LPIPS) + (1 - DISTS) + CLIPIQA + MANIQA + MUSIQ / 100 + max(0, (10 - "
                "NIQE) / 10), by pyiqa with its defaults; of every image, where the challenge took the mean of each "
                "term first, which is the same unless the NIQE of an image is above 10"
            ),
        )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """Measure (n, 3, H, W) samples: (n,) float64."""
        terms = {name: metric(samples, pair) for name, metric in self._terms.items()}
        naturalness = ((10 - terms["niqe"]) / 10).clamp(min=0)
        fidelity = 2 - self._lpips(samples, pair) - terms["dists"]
        return fidelity + terms["clipiqa"] + terms["maniqa"] + terms["musiq"] / 100 + naturalness
