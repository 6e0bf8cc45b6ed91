"""Metrics of the NTIRE challenges on learning the SR space (2021, 2022): spatial LPIPS, diversity, worst LR-PSNR.

Lugmayr, Danelljan and Timofte, "NTIRE 2021 learning the super-resolution space challenge", 2021. Details that the
report leaves open follow the organisers' evaluation code, which first crops output and HR to multiples of 8.
"""

from __future__ import annotations

from torch import Tensor

from srbench.images.io import crop_to_multiple
from srbench.interfaces import ImagePair, MetricInfo
from srbench.metrics import MetricError
from srbench.metrics.consistency import downscaled
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.pixel import decibels, mean_squared_errors
from srbench.metrics.samples import EightBitMetric, hr_as_uint8, require_side

_GRID = 8


def _cropped(images: Tensor, pair: ImagePair) -> tuple[Tensor, Tensor]:
    """Crop outputs and HR to multiples of 8 pixels, once for all metrics: uint8 (n, 3, h, w) and (3, h, w)."""

    def crop(image: Tensor) -> Tensor:
        is_multiple = not any(side % _GRID for side in image.shape[-2:])
        return image if is_multiple else crop_to_multiple(image, _GRID).contiguous()

    hr = hr_as_uint8(pair)
    return pair.shared.once(images, "NTIRE", lambda: crop(images)), pair.shared.once(hr, "NTIRE", lambda: crop(hr))


def spatial_maps(samples: Tensor, pair: ImagePair) -> Tensor:
    """Return LPIPS maps of uint8 outputs (n, 3, H, W), cropped to multiples of 8: (n, h, w) float64 on the CPU."""
    lpips, (images, hr) = LPIPS(), _cropped(samples, pair)
    require_side(images, lpips.smallest_side, "LPIPS", pair.name)
    return lpips.maps(images, hr, pair.shared).cpu().double()


def diversity_of(maps: Tensor) -> Tensor:
    """Return S_n in percent, (), of the ``spatial_maps`` of n samples; NaN if a sample equals HR."""
    best = maps.mean(dim=(1, 2)).min()
    return 100 * (best - maps.amin(dim=0).mean()) / best


class SpatialLPIPS(EightBitMetric):
    """Mean of the LPIPS map over pixels, which is close to LPIPS but not equal to it."""

    gpu = True
    info = MetricInfo(
        name="lpips_spatial",
        title="LPIPS (spatial)",
        direction=-1,
        digits=3,
        signature="RGB|alex0.1|spatial|grid8|v1",
        protocol=(
            "version 0.1, AlexNet, uint8 RGB by {quantize}, cropped to multiples of 8, map at every pixel, its mean"
        ),
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return (n,) values."""
        return spatial_maps(images, pair).mean(dim=(1, 2))


class Diversity(EightBitMetric):
    """Gain of choosing the best sample at every pixel over the best single sample, in percent; 0 for one sample."""

    needs = ("HR", "samples")
    gpu = True
    info = MetricInfo(
        name="diversity",
        title="diversity",
        direction=1,
        unit="%",
        signature="RGB|alex0.1|spatial|grid8|v1",
        per="image",
        protocol=(
            "uint8 RGB by {quantize}, cropped to multiples of 8, 100 (min_i mean d_i - mean min_i d_i) / "
            "min_i mean d_i, where d_i is the LPIPS map (0.1, AlexNet) of sample i; S10 of NTIRE 2021 with 10 samples"
        ),
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return () in percent. Raises MetricError if a sample equals HR."""
        maps = spatial_maps(images, pair)
        diversity = diversity_of(maps)
        if not diversity.isfinite():
            raise MetricError(f"{pair.name}: a sample equals HR, so the diversity is undefined; leave it out")
        return diversity


class WorstLRPSNR(EightBitMetric):
    """Lowest LR-PSNR of all samples. The challenge required 45 dB."""

    smallest_side = _GRID
    needs = ("HR", "LR", "downscaling")
    info = MetricInfo(
        name="lr_psnr_worst",
        title="LR-PSNR worst",
        direction=1,
        unit="dB",
        signature="RGB|matlab-bicubic|grid8|worst|v1",
        per="image",
        protocol=(
            "uint8 RGB by {quantize}, output and HR cropped to multiples of 8 and downscaled by MATLAB's antialiased "
            "bicubic, rounded to uint8 after each of its two passes, halves to even, PSNR, least of all samples; the "
            "goal was 45"
        ),
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return () in dB. Raises MetricError for a scale that does not divide 8."""
        scale = pair.scale
        if _GRID % scale:
            title = self.info.title
            raise MetricError(f"{pair.name}: scale {scale} does not divide {_GRID}; {title} is for 2, 4 and 8")
        cropped, hr = _cropped(images, pair)
        small, lr = (downscaled(images, scale, "even") for images in (cropped, hr[None]))
        return decibels(mean_squared_errors(small, lr)).min()
