"""What every metric asks of a model's output before it measures it."""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.images import quantize_floor
from srbench.types import ImagePair, SRBenchError


class SampleError(SRBenchError):
    """An image that a metric cannot measure."""


def checked(samples: Tensor, pair: ImagePair) -> Tensor:
    """Return ``samples`` as they are: (n, 3, H, W) with n > 0, as large as the HR picture, and finite.

    Raises SampleError, naming the picture, where they are not.
    """
    height, width = pair.hr.shape[-2:]
    if samples.ndim != 4 or samples.shape[0] == 0 or samples.shape[1:] != (3, height, width):
        raise SampleError(
            f"{pair.name}: the model returned {tuple(samples.shape)}; "
            f"it must return (n, 3, {height}, {width}), the size of the HR picture"
        )
    finite = samples.isfinite()
    if not finite.all():
        share = 1 - finite.double().mean().item()
        raise SampleError(
            f"{pair.name}: {share:.2%} of the model's output is NaN or infinite; "
            "only finite numbers can be measured, check the weights and the temperature"
        )
    return samples


def as_uint8(images: Tensor) -> Tensor:
    """Floating point (n, 3, H, W) -> the uint8 images written to disk: clamped to [0, 1], times 255, floor.

    float64 becomes float32 first, as in a run. The rows of the result lie one after the other in memory, whatever the
    layout of the input: the last digit of a mean hangs on the order of its sum.
    """
    single = images.to(torch.float32) if images.dtype == torch.float64 else images
    return quantize_floor(single).contiguous()


def quantised(samples: Tensor, pair: ImagePair) -> Tensor:
    """Checked samples as uint8, by ``as_uint8``. Raises SampleError as ``checked`` does."""
    return as_uint8(checked(samples, pair))


def require_side(images: Tensor, minimum: int, title: str, name: str) -> None:
    """Raise SampleError, naming the image, where (..., H, W) is shorter than ``minimum`` pixels in one direction."""
    height, width = images.shape[-2:]
    if min(height, width) < minimum:
        raise SampleError(
            f"{name}: {height}x{width} pixels are too few for {title}; "
            f"both sides must have at least {minimum}, use larger images or leave {title} out"
        )
