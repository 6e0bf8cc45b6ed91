"""Outputs as metrics see them: of the size of HR, if there is one, finite, and uint8."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from srbench.images.io import quantize_floor
from srbench.interfaces import ImagePair, MetricFacts
from srbench.metrics import MetricError


class ImageMetric(ABC):
    """Base of the metrics of 8-bit images: a subclass is its facts, its smallest side and its formula."""

    facts: MetricFacts
    smallest_side = 1
    """Pixels that both sides of an image need."""

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64, or () for a metric of all samples of an image.

        Samples are uint8; floating-point ones are clamped and floored to uint8, as the functions of ``srbench.metrics``
        do. Raises MetricError, naming the image, for output that cannot be measured.
        """
        images = as_uint8(checked(samples, pair))
        require_side(images, self.smallest_side, self.facts.title, pair.name)
        return self.values(images, pair)

    @abstractmethod
    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) uint8, contiguous and as large as HR, and the pair -> what the call returns."""


def checked(samples: Tensor, pair: ImagePair) -> Tensor:
    """Return ``samples`` unchanged: (n, 3, H, W) with n > 0, as large as the HR image if any, and finite or uint8.

    Raises MetricError, naming the image, where they are not.
    """
    height, width = (pair.hr if pair.has_hr else samples).shape[-2:]
    if samples.ndim != 4 or samples.shape[0] == 0 or samples.shape[1:] != (3, height, width):
        raise MetricError(
            f"{pair.name}: the model returned {tuple(samples.shape)}; "
            f"it must return (n, 3, {height}, {width}), the size of the HR image"
        )
    if samples.dtype == torch.uint8:
        return samples
    # the sum of finite numbers may overflow, which costs a second look
    if not samples.sum().isfinite() and not (finite := samples.isfinite()).all():
        share = 1 - finite.double().mean().item()
        raise MetricError(
            f"{pair.name}: {share:.2%} of the model's output is NaN or infinite; "
            "only finite numbers can be measured, check the weights and the temperature"
        )
    return samples


def as_uint8(images: Tensor) -> Tensor:
    """Floating point (..., 3, H, W) -> the uint8 images written to disk: clamped to [0, 1], times 255, floor.

    float64 becomes float32 first, as in a run; uint8 stays. The rows of the result are contiguous whatever the layout
    of the input: the last digit of a mean depends on the order of its sum.
    """
    if images.dtype == torch.uint8:
        return images.contiguous()
    single = images.to(torch.float32) if images.dtype == torch.float64 else images
    return quantize_floor(single).contiguous()


def require_side(images: Tensor, minimum: int, title: str, name: str) -> None:
    """Raise MetricError, naming the image, where (..., H, W) is shorter than ``minimum`` pixels in one direction."""
    height, width = images.shape[-2:]
    if min(height, width) < minimum:
        raise MetricError(
            f"{name}: {width}x{height} pixels are too few for {title}; "
            f"both sides must have at least {minimum}, use larger images or leave {title} out"
        )
