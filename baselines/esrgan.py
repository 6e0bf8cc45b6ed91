"""ESRGAN: the RRDB generator trained against a relativistic discriminator.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV workshops 2018.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.convert import convert_esrgan
from baselines.pretrained import Family, load_pretrained
from baselines.rrdb import SLOPE, RRDBConfig, RRDBNet, load_rrdb
from srbench.weights.files import WeightsError, load_weights
from srbench.weights.table import cached_path


def load_esrgan(scale: int, weights: Path | None = None, strength: float = 1.0) -> RRDBNet:
    """The ESRGAN generator (an RRDBNet): the packaged one of this scale, or the one in a weights file.

    With a strength below 1, its weights times that plus those of the RRDB network that it was trained from times the
    rest: between the sharp and the faithful picture (ESRGAN, section 3.4, equation 4).
    Raises WeightsError where the file is damaged or of another scale, where none is packaged for the scale, or where
    the RRDB network is not to be found.
    """
    network = load_pretrained(Family("esrgan", RRDBNet, RRDBConfig, convert_esrgan), scale, weights)
    if strength == 1:
        return network
    start = _before_the_critic(network, scale, weights)
    merged = start.state_dict()
    network.load_state_dict({name: merged[name].lerp(value, strength) for name, value in network.state_dict().items()})
    known = network.weights
    network.weights = replace(
        known,
        sha256=hashlib.sha256(f"{known.sha256} {strength} {start.weights.sha256}".encode()).hexdigest(),
        trained_on=f"{known.trained_on}; {strength:g} of these weights, the rest of the RRDB network before",
        losses={},
    )
    return network


def _before_the_critic(network: RRDBNet, scale: int, weights: Path | None) -> RRDBNet:
    """The RRDB network whose weights an ESRGAN generator began with.

    A weights file says which by its hash, and the folder of a training where; released ones began with the released.
    """
    if weights is None:
        return load_rrdb(scale)
    wanted = load_weights(weights)[1].get("start") if weights.suffix == ".safetensors" else None
    places = [None, cached_path("rrdb-psnr-x4"), *_start_of_training(weights.parent)]
    for place in places:
        try:
            found = load_rrdb(scale, place)
        except WeightsError:
            continue
        if found.weights.sha256 == wanted or (not wanted and place is not None and found.config == network.config):
            return found
    raise WeightsError(
        f"{weights}: the RRDB weights that it was trained from are not known here, so nothing can be interpolated; "
        "name a training's folder or, for released weights, srbench weights fetch rrdb-psnr-x4"
    )


def _start_of_training(folder: Path) -> list[Path]:
    try:
        start = json.loads((folder / "training.json").read_text())["request"]["start"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [] if start is None else [Path(start)]


class Discriminator(nn.Module):
    """VGG-style critic of patches of one size: (b, 3, patch, patch) in [0, 1] -> (b, 1) logits.

    Five stages, each a 3x3 convolution and a 4x4 one of stride two, then two linear layers.
    """

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        if patch % 32:
            raise ValueError(f"patch {patch} is no multiple of 32: five stages halve it")
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

    def forward(self, pictures: Tensor) -> Tensor:
        """(b, 3, patch, patch) in [0, 1] -> (b, 1) logits."""
        logits: Tensor = self.judge(self.features(pictures).flatten(1))
        return logits


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic average loss of the generator from the critic's logits (b, 1); ESRGAN, equation 2.

    The mean of both directions rather than their sum, as in the authors' training code.
    """
    real = real.detach()
    return (_against(real - fake.mean(), 0.0) + _against(fake - real.mean(), 1.0)) / 2


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic average loss of the critic from its logits (b, 1); ESRGAN, equation 1, as a mean."""
    return (_against(real - fake.mean(), 1.0) + _against(fake - real.mean(), 0.0)) / 2


def _against(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
