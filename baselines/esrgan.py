"""ESRGAN: the RRDB generator trained against a relativistic discriminator.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV workshops 2018.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.rrdb import SLOPE
from srbench.files.config import ConfigError


class Discriminator(nn.Module):
    """VGG-style discriminator for a fixed patch size: (b, 3, patch, patch) in [0, 1] -> (b, 1) logits.

    Five stages, each a 3x3 convolution and a 4x4 convolution with stride 2, then two linear layers.
    Raises ConfigError if the patch is not a multiple of 32.
    """

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        if patch % 32:
            raise ConfigError(
                f"training.patch is {patch}; it has to be a multiple of 32 for the discriminator's five stages; "
                "change it with --set training.patch=..."
            )
        widths = [3, width, 2 * width, 4 * width, 8 * width, 8 * width]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            first = before == 3
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=first)]
            layers += [] if first else [nn.BatchNorm2d(after)]
            layers += [nn.LeakyReLU(SLOPE), nn.Conv2d(after, after, 4, 2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE)]
        self.features = nn.Sequential(*layers)
        self.judge = nn.Sequential(
            nn.Linear(widths[-1] * (patch // 32) ** 2, 100), nn.LeakyReLU(SLOPE), nn.Linear(100, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, patch, patch) in [0, 1] -> (b, 1) logits."""
        logits: Tensor = self.judge(self.features(images).flatten(1))
        return logits


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic average loss of the generator, from the discriminator's logits (b, 1); ESRGAN, equation 2.

    The two terms are averaged rather than summed, as in the authors' training code.
    """
    real = real.detach()
    return (_against(real - fake.mean(), 0.0) + _against(fake - real.mean(), 1.0)) / 2


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic average loss of the discriminator, from its logits (b, 1); ESRGAN, equation 1, averaged."""
    return (_against(real - fake.mean(), 1.0) + _against(fake - real.mean(), 0.0)) / 2


def _against(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
