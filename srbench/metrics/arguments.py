"""Arguments and results of the metric functions: tensors or arrays, an image or a batch, uint8 or floating point."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.interfaces import ImagePair
from srbench.metrics import MetricError
from srbench.metrics.samples import ImageMetric, as_uint8
from srbench.words import size_of

Images = Tensor | NDArray[Any]
"""(3, H, W) or (n, 3, H, W), RGB: uint8 in 0..255, or float16, bfloat16, float32 or float64 in [0, 1]."""
Values = float | Tensor | NDArray[np.float64]
"""A float for one image; for a batch (n,) float64, a tensor on the CPU or an array, like the argument."""

_DTYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ARRAYS = (np.uint8, np.float16, np.float32, np.float64)


def image_tensor(images: Images, name: str) -> Tensor:
    """Convert images to a tensor (n, 3, H, W) of the same values. Raises MetricError, which names the argument."""
    if not isinstance(images, Tensor | np.ndarray):
        raise MetricError(
            f"{name} is of type {type(images).__name__}; only torch.Tensor and numpy.ndarray can be measured, "
            "convert it with numpy.asarray"
        )
    if images.dtype not in (_DTYPES if isinstance(images, Tensor) else _ARRAYS):
        raise MetricError(
            f"{name} has dtype {str(images.dtype).removeprefix('torch.')}; allowed are uint8 in 0..255 and float16, "
            "bfloat16 (torch), float32, float64 in [0, 1], convert it to one of them"
        )
    shape = tuple(images.shape)
    if len(shape) not in (3, 4) or shape[-3] != 3 or 0 in shape:
        advice = "give it three channels and no empty dimension"
        if len(shape) in (3, 4) and shape[-1] == 3 and 0 not in shape:
            method = "permute" if isinstance(images, Tensor) else "transpose"
            advice = f"use {name}.{method}({'2, 0, 1' if len(shape) == 3 else '0, 3, 1, 2'})"
        raise MetricError(f"{name} has shape {shape}; images are (3, H, W) or (n, 3, H, W), {advice}")
    if isinstance(images, np.ndarray):  # copies read-only memory and negative strides, which torch cannot share
        tensor = torch.from_numpy(np.require(images, requirements=["C", "W"]))
    else:
        tensor = images.detach()
    if tensor.dtype != torch.uint8:
        _require_range(tensor, name)
    return tensor if tensor.ndim == 4 else tensor[None]


def _require_range(tensor: Tensor, name: str) -> None:
    finite = tensor.isfinite()
    if not finite.all():
        share = 1 - finite.double().mean().item()
        raise MetricError(
            f"{name}: {share:.2%} of the values are NaN or infinite; only finite numbers can be measured, "
            "look for the division or the overflow that made them"
        )
    mean = tensor.mean(dtype=torch.float64).item()
    if abs(mean) > 2:  # far beyond [0, 1], even for outputs that overshoot
        raise MetricError(
            f"{name} has a mean of {mean:.4g}; floating-point images lie in [0, 1], divide it by 255 or pass uint8"
        )


def measured(metric: ImageMetric, sr: Images, *, hr: Images | None = None, lr: Images | None = None) -> Values:
    """Measure images, alone or against HR or LR images (one for all images, or one each). Raises MetricError."""
    images = as_uint8(image_tensor(sr, "sr"))
    name, given = ("hr", hr) if lr is None else ("lr", lr)
    references = images[:1] if given is None else as_uint8(image_tensor(given, name))
    if len(references) not in (1, len(images)):
        raise MetricError(
            f"sr has {len(images)} images and {name} has {len(references)}; "
            f"give one {name} (3, H, W) for all, or one for each image of sr"
        )
    if lr is None and images.shape[-2:] != references.shape[-2:]:
        sizes = [size_of(each.shape) for each in (images, references)]
        raise MetricError(f"sr is {sizes[0]} and hr is {sizes[1]}; both must have the same size, crop or resize one")
    groups = torch.split(images, len(images) // len(references))
    pairs = [ImagePair("sr", image) if lr is not None else ImagePair("sr", image, image) for image in references]
    values = torch.cat([metric(group, pair) for group, pair in zip(groups, pairs, strict=True)])
    if sr.ndim == 3:
        return values.item()
    return values.numpy() if isinstance(sr, np.ndarray) else values
