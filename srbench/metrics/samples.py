"""What every metric asks of a model's output before it measures it."""

from __future__ import annotations

from torch import Tensor

from srbench.images import quantize_floor
from srbench.types import ImagePair, SRBenchError


class SampleError(SRBenchError):
    """A model's output that a metric cannot measure."""


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


def quantised(samples: Tensor, pair: ImagePair) -> Tensor:
    """Checked samples as the uint8 picture written to disk: clamped to [0, 1], times 255, floor.

    Raises SampleError as ``checked`` does.
    """
    return quantize_floor(checked(samples, pair))


def require_side(pair: ImagePair, minimum: int, title: str) -> None:
    """Raise SampleError where the HR picture is shorter than ``minimum`` pixels in one direction."""
    height, width = pair.hr.shape[-2:]
    if min(height, width) < minimum:
        raise SampleError(
            f"{pair.name}: {height}x{width} pixels are too few for {title}; "
            f"both sides must have at least {minimum}, use larger pictures or leave {title} out"
        )
