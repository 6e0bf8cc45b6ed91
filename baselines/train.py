"""Train the baselines: RRDB with an L1 loss, and ESRGAN from it with a perceptual and an adversarial loss."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.esrgan import Discriminator, discriminator_loss, generator_loss
from baselines.presets import ESRGAN, RRDB, ESRGANPreset, RRDBPreset
from baselines.rrdb import RRDBConfig, RRDBNet
from baselines.vgg import PerceptualLoss
from baselines.vgg_weights import load_vgg
from baselines.zoo import load_rrdb
from srbench.interfaces import TrainingRequest
from srbench.system.config import load_preset
from srbench.training import TrainingError
from srbench.training.learner import Batch, Learner, adam, channels_last
from srbench.training.loop import Training
from srbench.weights.files import WeightsError, load_weights, sha256_file
from srbench.weights.pretrained import fill
from srbench.weights.table import cached_path


def train_rrdb(request: TrainingRequest) -> Path:
    """Train an RRDBNet with the L1 loss; returns the weights file.

    ``start`` is an RRDB weights file of the same size and any scale, whose weights are taken where there are equally
    named ones; without it they are random. Raises PresetError, TrainingError, WeightsError.
    """
    settings = load_preset(RRDB, request.preset, RRDBPreset, request.changes)
    training = Training("rrdb", settings.network.scale, settings, request)
    torch.manual_seed(settings.training.seed)
    network, digest = channels_last(RRDBNet(settings.network)), ""
    if request.start is not None:
        _warm_start(network, load_weights(request.start)[0], request.start)
        digest = sha256_file(request.start)
    network.to(training.device)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        l1 = F.l1_loss(network(batch.lr), batch.hr)
        return l1, {"l1": l1}

    return training.fit([Learner("network", network, adam([network.parameters()], settings.training), loss)], digest)


def _warm_start(network: RRDBNet, known: dict[str, Tensor], path: Path) -> None:
    """Fill a network with the weights of one of another scale, which has more or fewer convolutions that upscale."""
    own = network.state_dict()
    shared = {
        name: known.get(name, value) if name.startswith("conv_up.") else known.get(name) for name, value in own.items()
    }
    fill(network, {name: value for name, value in shared.items() if value is not None}, path)


def train_esrgan(request: TrainingRequest) -> Path:
    """Train an ESRGAN generator from RRDB weights; returns the weights file.

    ``start`` is an RRDB weights file of the preset's size; without it the packaged one of the scale or the released one
    is taken if it is of that size. Losses as in section 3 of the ESRGAN paper.
    Raises PresetError, TrainingError, WeightsError.
    """
    settings = load_preset(ESRGAN, request.preset, ESRGANPreset, request.changes)
    training = Training("esrgan", settings.network.scale, settings, request)
    network = channels_last(_generator(settings.network, request.start).train()).to(training.device)
    torch.manual_seed(settings.training.seed)
    learners = Adversaries(network, settings, training.device).learners()
    return training.fit(learners, network.weights.sha256)


def _generator(config: RRDBConfig, start: Path | None) -> RRDBNet:
    """The RRDB network to go on from."""
    found = []
    for place in [start] if start is not None else [None, cached_path("rrdb-psnr-x4")]:
        try:
            network = load_rrdb(config.scale, place)
        except WeightsError:
            if start is not None:
                raise
            continue
        if network.config == config:
            return network
        found.append(network.config)
    if start is not None:
        raise TrainingError(
            f"the preset's generator is {config}, the RRDB weights are {found[0]}; name others by --start"
        )
    raise TrainingError(
        f"esrgan goes on from RRDB weights of its size, and none of {config} are here; train them (srbench train "
        "rrdb), or fetch the released ones (srbench weights fetch rrdb-psnr-x4), and name them by --start"
    )


class Adversaries:
    """Generator and discriminator of ESRGAN, and the losses by which they take turns."""

    def __init__(self, generator: RRDBNet, settings: ESRGANPreset, device: torch.device) -> None:
        self.generator, self.settings, losses = generator, settings, settings.losses
        try:
            discriminator = Discriminator(settings.training.patch, losses.discriminator_width)
        except ValueError as error:
            raise TrainingError(f"training.{error}; choose another with --set training.patch=...") from None
        tensors = load_vgg(losses.perceptual_network)
        try:
            perceptual = PerceptualLoss(tensors, losses.perceptual_network, losses.perceptual_layer)
        except ValueError as error:
            raise TrainingError(f"losses.{error}; correct the preset") from None
        self.discriminator = channels_last(discriminator).to(device)
        self.perceptual = channels_last(perceptual).to(device)
        self._fakes: dict[int, Tensor] = {}
        """The generator's outputs for the patches of a step, by number of the first; the discriminator sees them."""

    def learners(self) -> list[Learner]:
        """The generator learns first in every step."""
        config, rate = self.settings.training, self.settings.losses.discriminator_rate
        return [
            Learner("generator", self.generator, adam([self.generator.parameters()], config), self.generator_loss),
            Learner(
                "discriminator",
                self.discriminator,
                adam([self.discriminator.parameters()], config),
                self.discriminator_loss,
                rate,
            ),
        ]

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Equation 3 of the ESRGAN paper."""
        self.discriminator.requires_grad_(False)
        fake, weights = self.generator(batch.lr), self.settings.losses
        self._fakes[batch.first] = fake.detach()
        pixel = F.l1_loss(fake, batch.hr)
        real, fake = (batch.rolled(images, weights.shift) for images in (batch.hr, fake))
        seen = self.perceptual(fake, real)
        adversarial = generator_loss(self.discriminator(real), self.discriminator(fake))
        total = (
            weights.pixel_weight * pixel + weights.perceptual_weight * seen + weights.adversarial_weight * adversarial
        )
        return total, {"l1": pixel, "perceptual": seen, "adversarial": adversarial}

    def discriminator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Equation 1 of the ESRGAN paper, of the images that the generator made before it stepped."""
        self.discriminator.requires_grad_(True)
        shift = self.settings.losses.shift
        real, fake = (batch.rolled(images, shift) for images in (batch.hr, self._fakes[batch.first]))
        loss = discriminator_loss(self.discriminator(real), self.discriminator(fake))
        return loss, {"discriminator": loss}
