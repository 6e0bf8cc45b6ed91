"""Proper scores of the samples of an image as a distribution: fair CRPS, LPIPS energy, bits per dimension.

A score is proper if, in expectation, no distribution has a lower score than that from which HR comes (Gneiting and
Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007). A score of samples one by one, such as
PSNR, is not: it prefers equal samples.

CRPS and LPIPS energy are mean_i d(x_i, y) - 1/(2n(n-1)) sum_ij d(x_i, x_j) for samples x_1 ... x_n, HR y and a distance
d. The distances of HR and samples are a matrix (n + 1, n + 1), HR first, computed once for all that follows from it.
"""

from __future__ import annotations

import hashlib
import math
from itertools import combinations
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from srbench.images.io import crop_to_multiple
from srbench.interfaces import Shared
from srbench.machine.precision import products
from srbench.metrics import MetricError
from srbench.metrics.lpips_network import features_of, fits, load_network, parts_of
from srbench.metrics.samples import as_uint8


@runtime_checkable
class Density(Protocol):
    """A model with a density of HR images given an LR image."""

    def log_prob(self, lr: Tensor, hr: Tensor) -> Tensor:
        """(b, 3, h, w) and (b, 3, s*h, s*w) -> log p(hr | lr) in nats, (b,): the density of values in [0, 1]."""


def fair_crps(samples: Tensor, hr: Tensor) -> float:
    """Fair continuous ranked probability score in grey levels, mean over pixels and channels; lower is better.

    mean_i |x_i - y| - 1/(2n(n-1)) sum_ij |x_i - x_j| (Gneiting and Raftery 2007, section 4.2, with the divisor n(n-1)
    of Ferro, "Fair scores for ensemble forecasts", 2014). Unlike with the divisor n^2, the expectation does not depend
    on n. The mean absolute error for n = 1. Sums are exact.

    Args:
        samples: (n, 3, H, W) uint8.
        hr: (3, H, W) uint8.

    Raises:
        MetricError: The arguments are not of these shapes and types.
    """
    import cv2  # sets environment variables, which importing srbench should not

    require_eight_bits(samples, hr)
    images = [image.cpu().contiguous().flatten(0, 1).numpy() for image in (hr, *samples)]
    distances = torch.zeros((len(images), len(images)), dtype=torch.float64)
    # OpenCV sums differences of 8-bit values so fast that all pairs take less time than sorting samples
    for i, j in combinations(range(len(images)), 2):
        distances[i, j] = distances[j, i] = cv2.norm(images[i], images[j], cv2.NORM_L1) / hr.numel()
    return _fair(distances)


def pairwise_lpips(samples: Tensor, hr: Tensor, shared: Shared | None = None) -> Tensor:
    """LPIPS on AlexNet between HR and samples: (n + 1, n + 1) float64 on the CPU, symmetric, HR first.

    The first row holds 0 and LPIPS of each sample to HR, as ``LPIPS`` computes it. Features of an image are computed
    once, unless they exceed ``lpips_network.HELD`` bytes: then images are compared in blocks, in bounded memory and
    more time.

    Args:
        samples: (n, 3, H, W) uint8, of at least 64 pixels a side.
        hr: (3, H, W) uint8.
        shared: What the metrics of the image share; features that ``LPIPS`` computed are not computed again.

    Raises:
        MetricError: The arguments are not of these shapes and types.
    """
    require_eight_bits(samples, hr)
    device, count, parts = samples.device, len(samples) + 1, parts_of("alex")
    network = load_network(parts, device)
    distances = torch.zeros((count, count), dtype=torch.float64, device=device)
    first = 0
    with torch.inference_mode(), products(device, tf32=False):
        of_hr, of_samples = features_of(hr, samples, parts, shared or Shared())
        while first < count:
            held: list[list[Tensor]] = []
            for index in range(first, count):
                features = of_samples[index - 1] if index else of_hr
                for other, theirs in enumerate(held, first):
                    layers = network.differences(theirs, features)
                    distances[other, index] = torch.stack([layer.double().mean() for layer in layers]).sum()
                if not held or fits(features, len(held) + 1):
                    held.append(features)
            first += len(held)
    return (distances + distances.T).cpu()


def lpips_energy(distances: Tensor) -> float:
    """Fair energy score of samples in the features of LPIPS; 0 and up in expectation, lower is better.

    mean_i d(x_i, y) - 1/(2n(n-1)) sum_ij d(x_i, x_j) with d = sqrt(LPIPS). LPIPS is sum_l mean_hw sum_c w_c (f_a -
    f_b)^2 with w_c >= 0, so d is the Euclidean distance of the features times sqrt(w_c / (h w)), and this is the energy
    score (Gneiting and Raftery 2007, section 4.3, with exponent 1), strictly proper for the distribution of these
    features. sqrt(LPIPS) for n = 1.

    Args:
        distances: (n + 1, n + 1), of ``pairwise_lpips``.
    """
    return _fair(distances.sqrt())


def lpips_pairs(distances: Tensor) -> float:
    """Mean LPIPS between two samples, 0 for equal samples: a measure of diversity, not a score.

    Args:
        distances: (n + 1, n + 1), of ``pairwise_lpips``.

    Raises:
        MetricError: There is only one sample.
    """
    n = len(distances) - 1
    if n < 2:
        raise MetricError("LPIPS between samples needs at least 2 samples of an image, and there is 1; sample more")
    return float(distances[1:, 1:].sum() / (n * (n - 1)))


def bits_per_dimension(model: object, lr: Tensor, hr: Tensor) -> float | None:
    """Negative log-likelihood of an 8-bit HR image in bits per value; lower is better. None for models without
    ``log_prob``.

    -log p(y + u | lr) / (D ln 2) + log2(255), D values y in [0, 1], u uniform in +-1/510: an upper bound of the
    discrete negative log-likelihood in expectation over u (Theis et al., "A note on the evaluation of generative
    models", 2016, section 3.1). u is seeded by the pixels of HR, so it is the same for all models. Infinite where the
    density of a model is 0.

    LR is cropped to even sides, at the bottom and right, and HR with it: flows halve the sides of images, and the
    density of an image that was padded for this is not that of HR.

    Args:
        model: A model, on the device of ``lr``; its density is that at temperature 1.
        lr: (3, h, w) in [0, 1], of at least 2 pixels a side.
        hr: (3, s*h, s*w), uint8, or multiples of 1/255 in [0, 1].

    Raises:
        MetricError: LR has a side of one pixel.
    """
    if not isinstance(model, Density):
        return None
    if min(lr.shape[-2:]) < 2:
        raise MetricError("bits per dimension need LR images of at least 2 pixels a side; use larger images")
    scale = hr.shape[-1] // lr.shape[-1]
    lr, pixels = crop_to_multiple(lr, 2), crop_to_multiple(as_uint8(hr), 2 * scale).cpu().contiguous()
    seed = int.from_bytes(hashlib.sha256(pixels.numpy().tobytes()).digest()[:8]) >> 1
    noise = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    values = ((pixels + noise) / 255).to(lr)
    with torch.no_grad(), products(lr.device, tf32=False):
        log_prob = float(model.log_prob(lr[None], values[None]))
    return -log_prob / (pixels.numel() * math.log(2)) + math.log2(255)


def require_eight_bits(samples: Tensor, hr: Tensor) -> None:
    """Raise MetricError unless samples are (n, 3, H, W) with n > 0 and HR is (3, H, W), both uint8."""
    if samples.ndim != 4 or not len(samples) or samples.shape[1:] != hr.shape or len(hr) != 3:
        raise MetricError(
            f"samples are {tuple(samples.shape)} and HR is {tuple(hr.shape)}; give (n, 3, H, W) with n > 0 and (3, H, "
            "W)"
        )
    for dtype in (samples.dtype, hr.dtype):
        if dtype != torch.uint8:
            raise MetricError(f"images are of type {str(dtype).removeprefix('torch.')}; quantise them to uint8")


def _fair(distances: Tensor) -> float:
    """Return mean_i d(x_i, y) - 1/(2n(n-1)) sum_ij d(x_i, x_j) of distances (n + 1, n + 1), y first;
    d(x_1, y) for n = 1.
    """
    n = len(distances) - 1
    return float(distances[0, 1:].mean() - distances[1:, 1:].sum() / max(2 * n * (n - 1), 1))
