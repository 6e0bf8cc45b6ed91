"""Losses that compare samples with HR: VGG features at equal locations, texture statistics, grids and spectra."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.machine.precision import autocast
from srbench.weights.reading import read_tensors
from srflow.training.grid_loss import grid_difference

WINDOW = 32
"""Side, in HR pixels, of the windows in which textures are compared."""
TEXTURED = 4
"""Number of VGG stages in which textures are compared; in the fifth, a window would span only two pixels."""
_ROUNDING = 1 / 255**2 / 12
"""Variance of rounding to 8 bits; power below it is invisible."""


def sample_losses(
    images: tuple[Tensor, Tensor], features: tuple[list[Tensor], list[Tensor]], weights: Sequence[Tensor], scale: int
) -> dict[str, Tensor]:
    """Every loss between samples and HR, a scalar; the setting ``NAME_weight`` of a preset is its weight.

    ``images`` and ``features`` are of the samples, then of HR: (b, 3, h, w), and the features of VGG16's stages, whose
    ``channel_weights`` are ``weights``.
    """
    return {
        "perceptual": learned_distance(*features, weights),
        "texture": texture_difference(*features),
        "grid": grid_difference(*images, scale),
        "spectrum": spectrum_difference(*images),
    }


def channel_weights() -> list[Tensor]:
    """LPIPS's learned weights of VGG16's channels, (1, c, 1, 1) for each of five stages, from the ``lpips`` package."""
    heads = read_tensors(Path(str(distribution("lpips").locate_file("lpips/weights/v0.1/vgg.pth"))))
    return [head for _, head in sorted(heads.items())]


def learned_distance(sample: Sequence[Tensor], hr: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """LPIPS on VGG16, averaged over images to a scalar (Zhang et al., 2018, eq. 1).

    ``sample`` and ``hr`` hold the features (b, c, h, w) of every stage before its ReLU, which is applied here before
    the features at each location are scaled to unit length. ``weights`` are the ``channel_weights``; weights of missing
    stages are ignored.
    """
    total = sample[0].new_zeros((), dtype=torch.float32)
    for a, b, weight in zip(sample, hr, weights, strict=False):
        a, b = (F.normalize(F.relu(maps).float(), dim=1, eps=1e-8) for maps in (a, b))
        with autocast(total.device, enabled=False):
            total = total + F.conv2d((a - b).square(), weight).mean()
    return total


def texture_difference(sample: Sequence[Tensor], hr: Sequence[Tensor]) -> Tensor:
    """Distance between local feature statistics, a scalar: 0 for equal textures even if their details are displaced.

    Stage i has feature maps (b, c, h / 2^i, w / 2^i) before their ReLU, which is applied here. The mean and standard
    deviation of every channel are taken in half-overlapping windows of WINDOW HR pixels. Their mean absolute difference
    is divided by the mean statistic of HR and averaged over the first TEXTURED stages (the statistics of DISTS, Ding et
    al., 2020, computed locally). Unlike a loss between features at equal locations, it does not reduce diversity.
    """
    statistics = (_statistics(maps[:TEXTURED]) for maps in (sample, hr))
    differences = [F.l1_loss(a, b) / b.abs().mean().clamp(min=1e-6) for a, b in zip(*statistics, strict=True)]
    return torch.stack(differences).mean()


def _statistics(features: Sequence[Tensor]) -> list[Tensor]:
    statistics = []
    for stage, maps in enumerate(features):
        active = F.relu(maps).float()
        side = max(WINDOW >> stage, 2)
        mean = F.avg_pool2d(active, side, side // 2)
        variance = F.avg_pool2d(active.square(), side, side // 2) - mean.square()
        floor = 1e-4 * active.detach().square().mean()  # in a dead channel, sqrt(0) has no finite gradient
        statistics += [mean, (variance.clamp(min=0) + floor).sqrt()]
    return statistics


def spectrum_difference(images: Tensor, real: Tensor) -> Tensor:
    """Distance between the high-frequency power of images and of HR (b, 3, h, w), a scalar: 0 for equal spectra.

    The mean absolute difference of log10 power at periods of 2 to 4 pixels, averaged with the difference at 2 pixels
    alone. The finest squeeze of the flow puts the four pixels of a 2x2 cell into different channels. The likelihood
    makes their means agree at temperature 1 only; at lower temperatures they differ by up to one grey level, which
    shows as stripes with a period of two pixels. A Nyquist-to-neighbour loss was gamed: training added grain at the
    neighbouring frequencies.
    """
    losses = []
    for ours, theirs in zip(spectra(images), spectra(real), strict=True):
        difference = (ours - theirs)[:, ours.shape[1] // 2 :].abs()
        losses.append((difference.mean() + difference[:, -1].mean()) / 2)
    return torch.stack(losses).mean()


def spectra(images: Tensor) -> list[Tensor]:
    """Log10 of the mean Hann-windowed periodogram of the luma's rows, then of its columns, (b, frequencies) each."""
    luma = images.mean(1)
    spectra = []
    for along in (2, 1):
        length = luma.shape[along] // 2 * 2
        lines = luma.narrow(along, 0, length).movedim(along, 2)
        window = torch.hann_window(length, periodic=True, dtype=lines.dtype, device=lines.device)
        spectrum = torch.fft.rfft((lines - lines.mean(2, keepdim=True)) * window)
        power = spectrum.abs().square().mean(1) + _ROUNDING * window.square().sum()
        spectra.append(power.log10())
    return spectra
