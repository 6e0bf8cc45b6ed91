"""What the NTIRE challenges on learning the SR space (2021, 2022) measured: spatial LPIPS, diversity, worst LR-PSNR.

Lugmayr, Danelljan and Timofte, "NTIRE 2021 learning the super-resolution space challenge", 2021; where the report
leaves something open, the organisers' evaluation code decides. It crops output and HR to multiples of 8 first.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from srbench.images.io import crop_to_multiple
from srbench.interfaces import ImagePair
from srbench.metrics.consistency import downscaled
from srbench.metrics.perceptual import LPIPS, lpips_maps
from srbench.metrics.pixel import decibels
from srbench.metrics.samples import MetricError, quantised, reference, require_side

_GRID = 8


def _cropped(samples: Tensor, pair: ImagePair) -> tuple[Tensor, Tensor]:
    """Outputs (n, 3, h, w) and HR (3, h, w), uint8, at multiples of 8 pixels."""
    return crop_to_multiple(quantised(samples, pair), _GRID).contiguous(), crop_to_multiple(reference(pair.hr), _GRID)


def _maps(samples: Tensor, pair: ImagePair) -> Tensor:
    """(n, h, w) float32 on the CPU, from the device of the samples. Raises MetricError below 64 pixels a side."""
    images, hr = _cropped(samples, pair)
    require_side(images, 64, "LPIPS", pair.name)
    return torch.stack(lpips_maps(list(images), hr.contiguous().to(images.device))).cpu()


class _LastMaps:
    """The maps of the last samples and pair, which both metrics of them share."""

    def __init__(self) -> None:
        self._last: tuple[Tensor, ImagePair, Tensor] | None = None

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        last = self._last
        if last is None or last[0] is not samples or last[1] is not pair:
            self._last = last = samples, pair, _maps(samples, pair)
        return last[2]


_last_maps = _LastMaps()


class SpatialLPIPS:
    """Mean over the pixels of the LPIPS map: near LPIPS, but not equal to it."""

    name = "lpips_spatial"
    title = "LPIPS (spatial)"
    higher_is_better = False
    unit = ""
    digits = 3
    parameters: tuple[Path, ...] = LPIPS.parameters
    sees_uint8 = True

    def __init__(self, quantize: str = "round") -> None:
        self.protocol = (
            f"version 0.1, AlexNet, uint8 RGB by {quantize}, cropped to multiples of 8, map at every pixel, its mean"
        )
        self.signature = f"RGB|{quantize}|alex0.1|spatial|grid8|v1"

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64."""
        return _last_maps(samples, pair).mean(dim=(1, 2)).double()


class Diversity:
    """How much better the best sample at every pixel is than the best of all samples, in percent; 0 for one sample."""

    name = "diversity"
    title = "diversity"
    higher_is_better = True
    unit = "%"
    digits = 2
    parameters: tuple[Path, ...] = LPIPS.parameters
    sees_uint8 = True

    def __init__(self, quantize: str = "round") -> None:
        self.protocol = (
            f"uint8 RGB by {quantize}, cropped to multiples of 8, LPIPS maps (0.1, AlexNet) of all samples: (least "
            "mean of a map - mean of the least at every pixel) over the least mean; S10 of NTIRE 2021 with 10 samples"
        )
        self.signature = f"RGB|{quantize}|alex0.1|spatial|grid8|v1"

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> () float64. Raises MetricError where a sample is HR itself."""
        maps = _last_maps(samples, pair)
        best = maps.mean(dim=(1, 2)).min().double()
        if not best > 0:
            raise MetricError(f"{pair.name}: a sample is equal to HR, so its diversity is not defined; leave it out")
        return 100 * (best - maps.amin(dim=0).mean().double()) / best


class WorstLRPSNR:
    """LR-PSNR of the sample that fits its LR image least. The challenge asked for 45 dB."""

    name = "lr_psnr_worst"
    title = "LR-PSNR worst"
    higher_is_better = True
    unit = "dB"
    digits = 2
    sees_uint8 = True
    needs_lr = True

    def __init__(self, quantize: str = "round") -> None:
        self.protocol = (
            f"uint8 RGB by {quantize}, output and HR cropped to multiples of 8 and downscaled by MATLAB's antialiased "
            "bicubic, rounded to uint8 after each of its two passes, PSNR, least of all samples; the goal was 45"
        )
        self.signature = f"RGB|{quantize}|matlab-bicubic|grid8|worst|v1"

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> () float64 in dB. Raises MetricError for a scale that does not divide 8."""
        scale = pair.hr.shape[-2] // pair.lr.shape[-2]
        if _GRID % scale:
            raise MetricError(f"{pair.name}: scale {scale} does not divide {_GRID}; {self.title} is for 2, 4 and 8")
        images, hr = _cropped(samples, pair)
        return decibels(downscaled(images, scale), downscaled(hr[None].contiguous(), scale)).min()
