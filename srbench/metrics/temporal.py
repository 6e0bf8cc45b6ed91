"""Temporal metrics of a clip: how differently from HR its outputs change from one frame to the next.

Definitions of tOF and tLP in Chu et al., "Learning temporal coherence via self-supervision for GAN-based video
generation" (TecoGAN), 2020. The paper leaves open what its released code (metrics.py) does, and tables print the numbers
of that code, so both functions follow it:

- The first two and the last two frames are left out.
- Distances are averaged over a central window, whose height and width are the largest multiples of 32 that leave at
  least 16 pixels for its two borders together. Optical flow is computed on whole frames, LPIPS on the window alone.
- Optical flow is Farneback's, from a frame to the next, of 8-bit grey frames by OpenCV (``cvtColor``), with a Euclidean
  norm at every pixel, although the paper writes an L1 norm.
- tLP is multiplied by 100, as in the column tLP100 of the code's output.

Unlike the released code, which crops outputs that are larger than HR, both functions refuse different sizes.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.machine.precision import products
from srbench.metrics import MetricError
from srbench.metrics.default_map import LPIPS_MAP
from srbench.metrics.functions import Images, image_tensor
from srbench.metrics.lpips_network import load_network, parts_of
from srbench.metrics.samples import as_uint8
from srbench.words import number_of, size_of

SKIPPED = 2
"""Number of frames left out at both ends of a clip."""
_BLOCK, _BORDERS = 32, 16
"""Unit of the sides of the window, and the smallest sum of two opposite borders, in pixels."""


def tof(sr: Images, hr: Images, *, skipped: int = SKIPPED) -> float:
    """Difference between the optical flows of outputs and HR in pixels per frame, 0 and up; lower is better.

    Mean over neighbouring frames and the pixels of the window of the Euclidean norm of flow(sr_t, sr_t+1) -
    flow(hr_t, hr_t+1), with Farneback's flow (OpenCV: three levels at half the size each, windows of 15 pixels, three
    iterations, polynomials of 5 pixels with sigma 1.2). Computed on the CPU.

    Args:
        sr: Outputs (T, 3, H, W), RGB: uint8, or floating point in [0, 1] that is clamped and floored to uint8.
        hr: HR frames (T, 3, H, W), likewise.
        skipped: Number of frames left out at both ends; 0 measures all frames.

    Raises:
        MetricError: The clip is too short or its frames are smaller than 48 pixels a side, the shapes of ``sr`` and
            ``hr`` differ, or an argument holds no images.
    """
    outputs, references, window = _clips(sr, hr, skipped, "tOF", _BLOCK)
    pairs = zip(_flows(outputs), _flows(references), strict=True)
    return float(
        np.mean([np.linalg.norm(flow - wanted, axis=2)[window].mean(dtype=np.float64) for flow, wanted in pairs])
    )


def tlp(sr: Images, hr: Images, *, skipped: int = SKIPPED) -> float:
    """Difference between the perceptual changes of outputs and HR, times 100; 0 and up, lower is better.

    Mean over neighbouring frames of 100 |LPIPS(sr_t, sr_t+1) - LPIPS(hr_t, hr_t+1)|, with LPIPS 0.1 on AlexNet as in
    ``lpips``. Computed in float32 on the devices of ``sr`` and ``hr``.

    Args:
        sr: Outputs (T, 3, H, W), RGB: uint8, or floating point in [0, 1] that is clamped and floored to uint8.
        hr: HR frames (T, 3, H, W), likewise.
        skipped: Number of frames left out at both ends; 0 measures all frames.

    Raises:
        MetricError: The clip is too short or its frames are smaller than 80 pixels a side, the shapes of ``sr`` and
            ``hr`` differ, or an argument holds no images.
    """
    *clips, (rows, columns) = _clips(sr, hr, skipped, "tLP", LPIPS_MAP.smallest_side)
    changes, wanted = (_changes(clip[..., rows, columns]) for clip in clips)
    return 100 * float((changes - wanted).abs().mean())


def _clips(
    sr: Images, hr: Images, skipped: int, title: str, smallest_side: int
) -> tuple[Tensor, Tensor, tuple[slice, slice]]:
    """Return the frames that count of outputs and HR, uint8, and rows and columns of the window. Raises MetricError."""
    clips = [as_uint8(image_tensor(clip, name)) for name, clip in (("sr", sr), ("hr", hr))]
    (length, _, *sides), (hr_length, _, *hr_sides) = (clip.shape for clip in clips)
    if skipped < 0:
        raise MetricError(f"{title} cannot leave out {skipped} frames; give skipped as 0 or a larger number")
    if length != hr_length:
        raise MetricError(f"sr has {number_of(length, 'frame')} and hr has {hr_length}; give as many of both")
    if sides != hr_sides:
        raise MetricError(
            f"frames are {size_of(sides)} in sr and {size_of(hr_sides)} in hr; crop or resize one of them"
        )
    if length < 2 * skipped + 2:
        raise MetricError(
            f"a clip of {number_of(length, 'frame')} is too short for {title}, which leaves out {skipped} at both ends and "
            f"compares neighbours; give at least {2 * skipped + 2} frames, or a smaller number for skipped"
        )
    if min(sides) < smallest_side + _BORDERS:
        raise MetricError(
            f"frames of {size_of(sides)} pixels are too small for {title}; both sides must have at least "
            f"{smallest_side + _BORDERS}, use larger frames"
        )
    outputs, references = (clip[skipped : length - skipped] for clip in clips)
    return outputs, references, (_window(sides[0]), _window(sides[1]))


def _window(side: int) -> slice:
    length = (side - _BORDERS) // _BLOCK * _BLOCK
    start = (side - length) // 2
    return slice(start, start + length)


def _flows(frames: Tensor) -> list[NDArray[np.float32]]:
    """Return the optical flow (H, W, 2) from each of (T, 3, H, W) uint8 frames to the next, in pixels."""
    import cv2  # sets environment variables, which importing srbench should not

    greys = [cv2.cvtColor(frame.permute(1, 2, 0).cpu().numpy(), cv2.COLOR_RGB2GRAY) for frame in frames]
    return [
        cv2.calcOpticalFlowFarneback(
            frame,
            following,
            flow=None,  # type: ignore[call-overload]  # no first guess, which the stubs of OpenCV lack
            pyr_scale=0.5,
            levels=3,
            winsize=15,
            iterations=3,
            poly_n=5,
            poly_sigma=1.2,
            flags=0,
        )
        for frame, following in pairwise(greys)
    ]


def _changes(frames: Tensor) -> Tensor:
    """Return LPIPS between each of (T, 3, H, W) uint8 frames and the next: (T - 1,) float64 on the CPU."""
    network = load_network(parts_of("alex"), frames.device)
    changes = []
    with torch.inference_mode(), products(frames.device, tf32=False):
        before = network.features(frames[0])
        for frame in frames[1:]:
            features = network.features(frame)
            layers = network.differences(before, features)
            changes.append(torch.stack([layer.double().mean() for layer in layers]).sum())
            before = features
    return torch.stack(changes).cpu()
