"""What every metric asks of a model's output before it measures it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from srbench.images.io import quantize_floor
from srbench.interfaces import ImagePair, SRBenchError

if TYPE_CHECKING:  # suites are read where torch is not loaded
    from torch import Tensor

Found = TypeVar("Found")


class MetricError(SRBenchError):
    """Images, parameters or suites that a metric cannot use."""


class OfLast(Generic[Found]):
    """What a function makes of an image, kept until it is asked of another one.

    All samples and models that are measured one after the other on one HR image share it. An image is known by its
    tensor object, which must not be changed in place in between, and which is kept, so that its identity is not given
    away.
    """

    def __init__(self, function: Callable[[Tensor], Found]) -> None:
        self._function = function
        self._last: tuple[Tensor, Found] | None = None

    def __call__(self, image: Tensor) -> Found:
        """The function of the image."""
        last = self._last
        if last is None or last[0] is not image:
            self._last = last = image, self._function(image)
        return last[1]


def checked(samples: Tensor, pair: ImagePair) -> Tensor:
    """Return ``samples`` as they are: (n, 3, H, W) with n > 0, as large as the HR image, and finite or uint8.

    Raises MetricError, naming the image, where they are not.
    """
    height, width = pair.hr.shape[-2:]
    if samples.ndim != 4 or samples.shape[0] == 0 or samples.shape[1:] != (3, height, width):
        raise MetricError(
            f"{pair.name}: the model returned {tuple(samples.shape)}; "
            f"it must return (n, 3, {height}, {width}), the size of the HR image"
        )
    if not samples.is_floating_point():
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
    """Floating point (n, 3, H, W) -> the uint8 images written to disk: clamped to [0, 1], times 255, floor.

    float64 becomes float32 first, as in a run. The rows of the result lie one after the other in memory, whatever the
    layout of the input: the last digit of a mean hangs on the order of its sum.
    """
    single = images.float() if images.dtype.itemsize == 8 else images
    return quantize_floor(single).contiguous()


def quantised(samples: Tensor, pair: ImagePair) -> Tensor:
    """Checked samples as uint8, by ``as_uint8``; such as are uint8 already as they are.

    Raises MetricError as ``checked`` does.
    """
    found = checked(samples, pair)
    return as_uint8(found) if found.is_floating_point() else found.contiguous()


reference = OfLast(as_uint8)
"""HR (3, H, W) as uint8."""


def require_side(images: Tensor, minimum: int, title: str, name: str) -> None:
    """Raise MetricError, naming the image, where (..., H, W) is shorter than ``minimum`` pixels in one direction."""
    height, width = images.shape[-2:]
    if min(height, width) < minimum:
        raise MetricError(
            f"{name}: {height}x{width} pixels are too few for {title}; "
            f"both sides must have at least {minimum}, use larger images or leave {title} out"
        )
