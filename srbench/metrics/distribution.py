"""Metrics of the samples of an image as a distribution: proper scores, and calibration.

Their formulas are in ``proper_scores`` and ``calibration``; docs/distribution.md says how to read them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from srbench.interfaces import (
    ImageMetric,
    ImagePair,
    ImageSet,
    MetricInfo,
    ModelCall,
    ModelPairMetric,
    SetMetric,
)
from srbench.metrics import calibration, proper_scores
from srbench.metrics.default_map import LPIPS_MAP
from srbench.metrics.samples import EightBitMetric, as_uint8, checked, hr_as_uint8


class CRPS(EightBitMetric):
    """Fair continuous ranked probability score; the mean absolute error of a single output."""

    info = MetricInfo(
        name="crps",
        title="CRPS",
        direction=-1,
        unit="grey levels",
        group="Distortion",
        signature="RGB|fair|v1",
        per="image",
        any_samples=True,
        protocol=(
            "uint8 RGB by {quantize}, mean_i |x_i - y| - 1/(2n(n-1)) sum_ij |x_i - x_j| over n samples x of HR y, mean "
            "over pixels and channels (fair: Ferro, 2014); the mean absolute error for one sample"
        ),
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return () in grey levels."""
        return _scalar(proper_scores.fair_crps(images, hr_as_uint8(pair)))


class LPIPSEnergy(EightBitMetric):
    """Fair energy score in the features of LPIPS; sqrt(LPIPS) of a single output."""

    gpu = True
    smallest_side = LPIPS_MAP.smallest_side
    info = MetricInfo(
        name="lpips_energy",
        title="LPIPS energy",
        direction=-1,
        digits=3,
        group="Perception",
        signature="RGB|alex0.1|fair|v1",
        per="image",
        any_samples=True,
        protocol=(
            "uint8 RGB by {quantize}, mean_i d(x_i, y) - 1/(2n(n-1)) sum_ij d(x_i, x_j) over n samples x of HR y, "
            "where d is the square root of LPIPS (0.1, AlexNet); sqrt(LPIPS) for one sample"
        ),
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return () values."""
        return _scalar(proper_scores.lpips_energy(_pairwise_lpips(images, pair)))


class PairwiseLPIPS(EightBitMetric):
    """Mean LPIPS between two samples; 0 for a single output."""

    needs = ("samples",)
    gpu = True
    smallest_side = LPIPS_MAP.smallest_side
    info = MetricInfo(
        name="lpips_pairs",
        title="pairwise LPIPS",
        direction=0,
        digits=3,
        group="Diversity",
        signature="RGB|alex0.1|v1",
        per="image",
        any_samples=True,
        protocol="uint8 RGB by {quantize}, mean LPIPS (0.1, AlexNet) of all pairs of samples; 0 for one sample",
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return () values."""
        return _scalar(0.0 if len(images) == 1 else proper_scores.lpips_pairs(_pairwise_lpips(images, pair)))


class PSNROfMean(EightBitMetric):
    """PSNR of the mean of the samples; PSNR of a single output."""

    needs = ("HR", "samples")
    info = MetricInfo(
        name="psnr_mean",
        title="PSNR of mean",
        direction=1,
        unit="dB",
        group="Distortion",
        signature="RGB|crop0|v1",
        per="image",
        protocol="mean of the samples, uint8 RGB by {quantize}, not rounded again, no crop, 10 log10(255^2 / MSE)",
    )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return () in dB."""
        return _scalar(calibration.psnr_of_mean(images, hr_as_uint8(pair)))


class Outside(ImageMetric):
    """Share of HR values below or above all samples; None for a single output."""

    sees = "uint8"
    needs = ("HR", "samples")
    info = MetricInfo(
        name="outside",
        title="HR outside",
        direction=0,
        unit="%",
        digits=1,
        signature="RGB|ties-shared|v1",
        per="image",
        protocol=(
            "uint8 RGB by {quantize}, share of values of HR below or above all n samples, where a value equal to t of "
            "them at an end counts 1/(t+1); 200/(n+1) if calibrated"
        ),
    )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor | None:
        """Measure (n, 3, H, W) samples: () in percent. Raises MetricError for unusable output."""
        images = as_uint8(checked(samples, pair))
        return None if len(images) == 1 else _scalar(calibration.outside(images, hr_as_uint8(pair)))


class SpreadSkill(SetMetric):
    """Ratio of the spread of the samples to the error of their mean; None unless every image has n > 1 samples."""

    sees = "uint8"
    needs = ("HR", "samples")
    info = MetricInfo(
        name="spread_skill",
        title="spread/skill",
        direction=0,
        signature="RGB|pooled|v1",
        per="set",
        any_samples=True,
        protocol=(
            "uint8 RGB by {quantize}, sqrt((n+1)/n * sum of variances (ddof 1) of n samples / sum of squared errors of "
            "their mean), sums over all images, pixels and channels; 1 if calibrated, below 1 if overconfident"
        ),
    )

    def __call__(self, outputs: ImageSet) -> float | None:
        """Measure all images, one after another."""
        counts, spreads, errors = set(), [], []
        for image in outputs:
            counts.add(len(image.samples))
            if counts == {1} or len(counts) > 1:
                return None
            spread, error = calibration.spread_and_error(image.samples, as_uint8(image.pair.hr))
            spreads.append(spread)
            errors.append(error)
        ratio = calibration.spread_skill(spreads, errors, *counts)
        return None if math.isnan(ratio) else ratio


class NLL(ModelPairMetric):
    """Negative log-likelihood of HR in bits per dimension; None for models without ``log_prob``."""

    info = MetricInfo(
        name="nll",
        title="NLL",
        direction=-1,
        unit="bits/dimension",
        digits=3,
        signature="RGB|uniform|even|v1",
        per="image",
        protocol=(
            "-log2 p(y + u | LR) / D + log2(255), D values of HR y in [0, 1], u uniform, 1/255 wide, seeded by the "
            "pixels of HR, temperature 1, LR cropped to even sides and HR with it"
        ),
    )

    def measure(self, call: ModelCall, pair: ImagePair) -> float | None:
        """Return bits per dimension, at temperature 1 whatever that of the call."""
        return proper_scores.bits_per_dimension(call.model, pair.lr.to(call.device), pair.hr.to(call.device))


def _pairwise_lpips(images: Tensor, pair: ImagePair) -> Tensor:
    """Return LPIPS between HR, if there is HR, and samples, computed once for all metrics."""
    # without HR, a sample stands in its place, as the matrix has a row for it
    hr, shared = (hr_as_uint8(pair), pair.shared) if pair.has_hr else (images[0], None)
    return pair.shared.once(images, "pairwise LPIPS", lambda: proper_scores.pairwise_lpips(images, hr, shared))


def _scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)
