"""Temporal metrics of a clip: how differently from HR its outputs change from one frame to the next.

Definitions of tOF and tLP in Chu et al., "Learning temporal coherence via self-supervision for GAN-based video
generation" (TecoGAN), 2020. The paper leaves open what its released code (metrics.py) does, and tables print the
numbers of that code, so both functions follow it:

- The first two and the last two frames are left out.
- Distances are averaged over a central window, whose height and width are the largest multiples of 32 that leave at
  least 16 pixels for its two borders together. Optical flow is computed on whole frames, LPIPS on the window alone.
- Optical flow is Farneback's, from a frame to the next, of 8-bit grey frames by OpenCV (``cvtColor``), with a Euclidean
  norm at every pixel, although the paper writes an L1 norm.
- tLP is multiplied by 100, as in the column tLP100 of the code's output.

Unlike the released code, which crops outputs that are larger than HR, both functions refuse different sizes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

from srbench.interfaces import ImageSet, MetricInfo, SetMetric
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
    outputs, references = _clips(sr, hr)
    return _tof(outputs, references, _window(len(outputs), outputs.shape[-2:], skipped, "tOF", _BLOCK))


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
    outputs, references = _clips(sr, hr)
    return _tlp(outputs, references, _window(len(outputs), outputs.shape[-2:], skipped, "tLP", LPIPS_MAP.smallest_side))


Frames = Iterable[Tensor]
"""Frames (3, H, W) uint8 in order, which may be read one by one."""


@dataclass(frozen=True)
class _Window:
    """The frames of a clip that count, and the part of them."""

    frames: slice
    rows: slice
    columns: slice


class _Temporal(SetMetric):
    """A metric of the first outputs of a clip; a subclass defines ``measured``."""

    sees = "uint8"
    name, title, unit = "", "", ""
    words = ""
    """What is computed, for the protocol."""
    smallest_side = _BLOCK

    def __init__(self, skipped: Annotated[int, Meta(ge=0)] = SKIPPED) -> None:
        self._skipped = skipped
        self.info = MetricInfo(
            name=self.name,
            title=self.title,
            direction=-1,
            unit=self.unit,
            digits=3,
            signature=f"RGB|TecoGAN|skip{skipped}|v1",
            per="group",
            any_samples=True,
            protocol=(
                f"{self.words}, as released with TecoGAN (Chu et al., 2020): first outputs of consecutive frames, "
                f"uint8 RGB by {{quantize}}, without the first {skipped} and last {skipped} frames of a clip, mean "
                f"over a central window with sides in multiples of {_BLOCK}"
            ),
        )

    def __call__(self, outputs: ImageSet) -> float:
        """Measure a clip, frame by frame. Raises MetricError for a clip that is too short,
        or frames that are too small.
        """
        height, width = outputs[0].first.shape[-2:]
        window = _window(len(outputs), (height, width), self._skipped, self.title, self.smallest_side)
        frame_indices = range(len(outputs))[window.frames]
        frames = (outputs[index].first for index in frame_indices)
        return self.measured(frames, (as_uint8(outputs[index].pair.hr) for index in frame_indices), window)

    @abstractmethod
    def measured(self, outputs: Frames, hr: Frames, window: _Window) -> float:
        """Return the value, given the frames that count."""


class TOF(_Temporal):
    """tOF of TecoGAN: difference between the optical flows of outputs and HR, from frame to frame; tof+skipped=0."""

    name, title, unit = "tof", "tOF", "pixels"
    words = "norm of the difference between the optical flows (Farneback by OpenCV) of outputs and HR"

    def measured(self, outputs: Frames, hr: Frames, window: _Window) -> float:
        """Return the value in pixels per frame."""
        return _tof(outputs, hr, window)


class TLP(_Temporal):
    """tLP of TecoGAN: difference between the LPIPS of consecutive outputs and of HR, times 100; tlp+skipped=0."""

    name, title = "tlp", "tLP"
    words = "100 |LPIPS of two consecutive outputs - LPIPS of two consecutive HR frames| (0.1, AlexNet)"
    smallest_side = LPIPS_MAP.smallest_side
    gpu = True

    def measured(self, outputs: Frames, hr: Frames, window: _Window) -> float:
        """Return the value."""
        return _tlp(outputs, hr, window)


def _tof(outputs: Frames, hr: Frames, window: _Window) -> float:
    pairs = zip(_flows(_chosen(outputs, window)), _flows(_chosen(hr, window)), strict=True)
    norms = (np.linalg.norm(flow - wanted, axis=2)[window.rows, window.columns] for flow, wanted in pairs)
    return fmean(float(norm.mean(dtype=np.float64)) for norm in norms)


def _tlp(outputs: Frames, hr: Frames, window: _Window) -> float:
    pairs = zip(*(_changes(_chosen(frames, window), window) for frames in (outputs, hr)), strict=True)
    return 100 * fmean(abs(change - wanted) for change, wanted in pairs)


def _chosen(frames: Frames, window: _Window) -> Frames:
    return frames[window.frames] if isinstance(frames, Tensor) else frames


def _clips(sr: Images, hr: Images) -> tuple[Tensor, Tensor]:
    """Return outputs and HR as (T, 3, H, W) uint8. Raises MetricError for different shapes."""
    outputs, references = (as_uint8(image_tensor(clip, name)) for name, clip in (("sr", sr), ("hr", hr)))
    if len(outputs) != len(references):
        raise MetricError(
            f"sr has {number_of(len(outputs), 'frame')} and hr has {len(references)}; give as many of both"
        )
    if outputs.shape != references.shape:
        sizes = " and ".join(f"{size_of(clip.shape)} in {name}" for name, clip in (("sr", outputs), ("hr", references)))
        raise MetricError(f"frames are {sizes}; crop or resize one of them")
    return outputs, references


def _window(length: int, sides: Sequence[int], skipped: int, title: str, smallest_side: int) -> _Window:
    """Return the frames that count and the window. Raises MetricError for a clip too short,
    and for frames too small.
    """
    if skipped < 0:
        raise MetricError(f"{title} cannot leave out {skipped} frames; give skipped as 0 or a larger number")
    if length < 2 * skipped + 2:
        raise MetricError(
            f"a clip of {number_of(length, 'frame')} is too short for {title}, which leaves out {skipped} at both ends "
            f"and compares neighbours; give at least {2 * skipped + 2} frames, or skipped=0"
        )
    if min(sides) < smallest_side + _BORDERS:
        raise MetricError(
            f"frames of {size_of(sides)} pixels are too small for {title}; both sides must have at least "
            f"{smallest_side + _BORDERS}, use larger frames"
        )
    return _Window(slice(skipped, length - skipped), _inner(sides[0]), _inner(sides[1]))


def _inner(side: int) -> slice:
    length = (side - _BORDERS) // _BLOCK * _BLOCK
    start = (side - length) // 2
    return slice(start, start + length)


def _flows(frames: Frames) -> Iterator[NDArray[np.float32]]:
    """Yield the optical flow (H, W, 2) from each frame to the next, in pixels."""
    import cv2  # sets environment variables, which importing srbench should not

    greys = (cv2.cvtColor(frame.permute(1, 2, 0).cpu().numpy(), cv2.COLOR_RGB2GRAY) for frame in frames)
    for frame, following in pairwise(greys):
        flow = cv2.calcOpticalFlowFarneback(
            frame,
            following,
            flow=None,  # type: ignore[call-overload, unused-ignore]  # no first guess, which the stubs of OpenCV 4 lack
            pyr_scale=0.5,
            levels=3,
            winsize=15,
            iterations=3,
            poly_n=5,
            poly_sigma=1.2,
            flags=0,
        )
        yield np.asarray(flow, np.float32)


def _changes(frames: Frames, window: _Window) -> Iterator[float]:
    """Yield LPIPS between each frame and the next, in the window."""
    before: list[Tensor] = []
    for frame in frames:
        network = load_network(parts_of("alex"), frame.device)
        with torch.inference_mode(), products(frame.device, tf32=False):
            features = network.features(frame[:, window.rows, window.columns].contiguous())
            layers = network.differences(before, features) if before else []
            change = sum(float(layer.double().mean()) for layer in layers)
        if before:
            yield change
        before = features
