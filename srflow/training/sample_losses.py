"""Losses that compare samples with HR: VGG features place by place, statistics of textures, and spectra."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.weights.checkpoints import read_checkpoint

WINDOW = 32
"""Side of the windows in which textures are compared, in HR pixels."""
TEXTURED = 4
"""Number of VGG stages in which textures are compared; in the fifth, a window would have a side of two pixels."""
_ROUNDING = 1 / 255**2 / 12
"""Variance of the rounding to 8 bits: power below it cannot be seen."""


def channel_weights() -> list[Tensor]:
    """LPIPS' learned weights of VGG16's channels, (1, c, 1, 1) for each of five stages, from the ``lpips`` package."""
    heads = read_checkpoint(Path(str(distribution("lpips").locate_file("lpips/weights/v0.1/vgg.pth"))))
    return [head for _, head in sorted(heads.items())]


def learned_distance(seen: Sequence[Tensor], known: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """LPIPS on VGG16, a scalar: mean over images (Zhang et al., 2018, eq. 1).

    ``seen`` and ``known`` hold the features (b, c, h, w) of every stage before its ReLU; after it, the features at each
    place are scaled to unit length. ``weights`` are the ``channel_weights``; those of missing stages are ignored.
    """
    total = seen[0].new_zeros((), dtype=torch.float32)
    for a, b, weight in zip(seen, known, weights, strict=False):
        a, b = (F.normalize(F.relu(maps).float(), dim=1, eps=1e-8) for maps in (a, b))
        total = total + F.conv2d((a - b).square(), weight).mean()
    return total


def texture_difference(seen: Sequence[Tensor], known: Sequence[Tensor]) -> Tensor:
    """Distance between local statistics of features, a scalar: 0 for equal textures, wherever their details lie.

    Stage i has feature maps (b, c, h / 2^i, w / 2^i) before their ReLU. After it, the mean and the standard deviation
    of every channel are taken in windows of WINDOW HR pixels that overlap by half. Their mean absolute difference is
    divided by the mean statistic of HR and averaged over the first TEXTURED stages (the statistics of DISTS, Ding et
    al., 2020, taken locally). A loss between features at the same place makes samples alike; this one does not.
    """
    statistics = (_statistics(maps[:TEXTURED]) for maps in (seen, known))
    differences = [F.l1_loss(a, b) / b.abs().mean().clamp(min=1e-6) for a, b in zip(*statistics, strict=True)]
    return torch.stack(differences).mean()


def _statistics(features: Sequence[Tensor]) -> list[Tensor]:
    statistics = []
    for stage, maps in enumerate(features):
        active = F.relu(maps).float()
        side = max(WINDOW >> stage, 2)
        mean = F.avg_pool2d(active, side, side // 2)
        variance = F.avg_pool2d(active.square(), side, side // 2) - mean.square()
        least = 1e-4 * active.detach().square().mean()  # the root of 0, in a dead channel, has no finite gradient
        statistics += [mean, (variance.clamp(min=0) + least).sqrt()]
    return statistics


def spectrum_difference(images: Tensor, real: Tensor) -> Tensor:
    """Distance between the power of fine detail in images and in HR (b, 3, h, w), a scalar: 0 for equal spectra.

    Mean absolute difference of log10 of the power at periods of 2 to 4 pixels, averaged with that at 2 pixels alone.
    The finest squeeze of the flow gives the four pixels of a cell to different channels. The likelihood makes their
    means agree at temperature 1 only; at lower temperatures they differ by up to one grey level, which leaves stripes
    of two pixels. A Nyquist-to-neighbour loss was gamed: training added grain at the neighbouring frequencies.
    """
    losses = []
    for ours, theirs in zip(_spectra(images), _spectra(real), strict=True):
        difference = (ours - theirs)[:, ours.shape[1] // 2 :].abs()
        losses.append((difference.mean() + difference[:, -1].mean()) / 2)
    return torch.stack(losses).mean()


def stripes(images: Tensor) -> Tensor:
    """Power at the Nyquist frequency over that of nearby frequencies, log10, (b, 2): vertical, horizontal stripes.

    Nearby: the median over the last eighth of the frequencies, without the two that the Hann window mixes with the
    Nyquist frequency. images (b, 3, h, w) in [0, 1] with sides of at least 16 pixels; an odd last row or column is
    ignored.
    """
    ratios = []
    for power in _spectra(images):
        nyquist = power.shape[1] - 1
        ratios.append(power[:, nyquist] - power[:, nyquist - max(nyquist // 8, 4) : nyquist - 2].median(1).values)
    return torch.stack(ratios, 1)


def _spectra(images: Tensor) -> list[Tensor]:
    """log10 of the mean periodogram of the luma's rows, then of its columns, under a Hann window, (b, frequencies)."""
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
