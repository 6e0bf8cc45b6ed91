"""Checks and quantisation of outputs before they are measured."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from srbench.images.io import quantize_floor
from srbench.interfaces import ImageMetric, ImagePair
from srbench.metrics import MetricError


class EightBitMetric(ImageMetric):
    """Base of our metrics of 8-bit images; a subclass defines ``info``, ``smallest_side`` and ``values``."""

    sees = "uint8"
    smallest_side = 1
    """Smallest side of an image in pixels."""

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """Measure (n, 3, H, W) samples: (n,) float64, or () for a metric of all samples of an image.

        Floating-point samples are clamped and floored to uint8, as in the functions of ``srbench.metrics``. Raises
        MetricError, which names the image, for output that cannot be measured.
        """
        images = as_uint8(checked(samples, pair))
        require_side(images, self.smallest_side, self.info.title, pair.name)
        return self.values(images, pair)

    @abstractmethod
    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Measure contiguous uint8 (n, 3, H, W) samples of the size of HR; returns what the call returns."""


def as_seen(metric: ImageMetric, images: Tensor) -> Tensor:
    """Convert outputs (..., 3, H, W), uint8 or float in [0, 1], to the dtype that a metric takes."""
    return images if images.is_floating_point() or metric.sees == "uint8" else images.float().div_(255)


def checked(samples: Tensor, pair: ImagePair) -> Tensor:
    """Return ``samples`` if they are (n, 3, H, W) with n > 0, of the size of HR if there is HR, and finite or uint8.

    Otherwise raises MetricError, which names the image.
    """
    height, width = (pair.hr if pair.has_hr else samples).shape[-2:]
    if samples.ndim != 4 or samples.shape[0] == 0 or samples.shape[1:] != (3, height, width):
        raise MetricError(
            f"{pair.name}: the model returned {tuple(samples.shape)}; "
            f"it must return (n, 3, {height}, {width}), the size of the HR image"
        )
    if samples.dtype == torch.uint8:
        return samples
    # check all values only if the sum is not finite; the sum of finite values may overflow
    if not samples.sum().isfinite() and not (finite := samples.isfinite()).all():
        share = 1 - finite.double().mean().item()
        raise MetricError(
            f"{pair.name}: {share:.2%} of the model's output is NaN or infinite; "
            "only finite numbers can be measured, check the weights and the temperature"
        )
    return samples


def as_uint8(images: Tensor) -> Tensor:
    """Quantise floating point (..., 3, H, W) like images saved by a run, by ``quantize_floor``; uint8 is kept.

    The result is contiguous for any layout of the input, because the last digit of a mean depends on the order of its
    sum.
    """
    return (images if images.dtype == torch.uint8 else quantize_floor(images)).contiguous()


def hr_as_uint8(pair: ImagePair) -> Tensor:
    """Return HR (3, H, W) by ``as_uint8``, computed once for all metrics of an image."""
    return pair.shared.once(pair.hr, "uint8", lambda: as_uint8(pair.hr))


def require_side(images: Tensor, minimum: int, title: str, name: str) -> None:
    """Raise MetricError, which names the image, if H or W of (..., H, W) is below ``minimum`` pixels."""
    height, width = images.shape[-2:]
    if min(height, width) < minimum:
        raise MetricError(
            f"{name}: {width}x{height} pixels are too few for {title}; "
            f"both sides must have at least {minimum}, use larger images or leave {title} out"
        )
