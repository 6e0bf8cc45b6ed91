"""Training of the baselines: RRDB with an L1 loss, and ESRGAN from it with perceptual and adversarial losses."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.esrgan import Discriminator, discriminator_loss, generator_loss
from baselines.presets import ESRGAN, RRDB, ESRGANPreset, RRDBPreset
from baselines.rrdb import RRDBConfig, RRDBNet
from baselines.vgg import PerceptualLoss, load_vgg
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

    ``start`` is an RRDB weights file of the same size and any scale, whose shared layers are taken; without it, the
    initial weights are random. Raises PresetError, TrainingError, WeightsError.
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
    """Fill a network with weights of any scale, which may have more or fewer upscaling convolutions."""
    own = {name: value for name, value in network.state_dict().items() if name.startswith("conv_up.")}
    taken = {name: value for name, value in known.items() if name in own or not name.startswith("conv_up.")}
    fill(network, own | taken, path)


def train_esrgan(request: TrainingRequest) -> Path:
    """Train an ESRGAN generator from RRDB weights; returns the weights file.

    ``start`` is an RRDB weights file of the preset's size; without it, the packaged one of the scale or the released
    one is taken if it has that size. The losses are those of the ESRGAN paper, section 3.
    Raises PresetError, TrainingError, WeightsError.
    """
    settings = load_preset(ESRGAN, request.preset, ESRGANPreset, request.changes)
    training = Training("esrgan", settings.network.scale, settings, request)
    network = channels_last(_generator(settings.network, request.start).train()).to(training.device)
    torch.manual_seed(settings.training.seed)
    learners = Adversaries(network, settings, training.device).learners()
    return training.fit(learners, network.weights.sha256)


def _generator(config: RRDBConfig, start: Path | None) -> RRDBNet:
    """The RRDB network to start from."""
    if start is not None:
        network = load_rrdb(config.scale, start)
        if network.config != config:
            raise TrainingError(
                f"the preset's generator is {config}, the RRDB weights are {network.config}; name others with --start"
            )
        return network
    for place in (None, cached_path("rrdb-psnr-x4")):
        with suppress(WeightsError):
            network = load_rrdb(config.scale, place)
            if network.config == config:
                return network
    raise TrainingError(
        f"esrgan starts from RRDB weights of its size, and there are none of {config}; train them (srbench train rrdb) "
        "or fetch the released ones (srbench weights fetch rrdb-psnr-x4), and name them with --start"
    )


class Adversaries:
    """Generator and discriminator of ESRGAN with their losses."""

    def __init__(self, generator: RRDBNet, settings: ESRGANPreset, device: torch.device) -> None:
        self.generator, self.settings, losses = generator, settings, settings.losses
        discriminator = Discriminator(settings.training.patch, losses.discriminator_width)
        tensors = load_vgg(losses.perceptual_network)
        perceptual = PerceptualLoss(tensors, losses.perceptual_network, losses.perceptual_layer)
        self.discriminator = channels_last(discriminator).to(device)
        self.perceptual = channels_last(perceptual).to(device)
        self._fakes: dict[int, Tensor] = {}
        """Outputs of the generator in this step, for the discriminator, by the number of their first patch."""

    def learners(self) -> list[Learner]:
        """The generator, which learns first in every step, and the discriminator."""
        config, rate = self.settings.training, self.settings.losses.discriminator_rate
        first, second = (adam([net.parameters()], config) for net in (self.generator, self.discriminator))
        return [
            Learner("generator", self.generator, first, self.generator_loss),
            Learner("discriminator", self.discriminator, second, self.discriminator_loss, rate),
        ]

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the three losses; ESRGAN, equation 3."""
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
        """ESRGAN, equation 1, for the images that the generator made before its step."""
        self.discriminator.requires_grad_(True)
        shift = self.settings.losses.shift
        real, fake = (batch.rolled(images, shift) for images in (batch.hr, self._fakes[batch.first]))
        loss = discriminator_loss(self.discriminator(real), self.discriminator(fake))
        return loss, {"discriminator": loss}
