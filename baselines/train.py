"""Train the baselines: RRDB with an L1 loss, and ESRGAN from it with a perceptual and an adversarial loss."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from baselines.esrgan import Discriminator, discriminator_loss, generator_loss
from baselines.pretrained import fill
from baselines.rrdb import RRDBConfig, RRDBNet, load_rrdb
from baselines.vgg import PerceptualLoss, load_vgg16
from srbench.config import load_preset
from srbench.training.loop import (
    TrainingConfig,
    channels_last,
    clipped_step,
    fit,
    open_training,
    save_trained,
    set_learning_rate,
)
from srbench.training.patches import Patches
from srbench.weights.files import load_weights, sha256_file


@dataclass(frozen=True)
class RRDBPreset:
    """A network and how it is trained."""

    network: RRDBConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Type of the numbers in the weights file."""


@dataclass(frozen=True)
class AdversarialConfig:
    """The part of an ESRGAN preset that concerns its three losses."""

    pixel_weight: float
    perceptual_weight: float
    adversarial_weight: float
    perceptual_layer: str
    """VGG16 convolution, compared before its ReLU: ``conv4_3``."""
    discriminator_width: int
    """Channels of the discriminator's first stage (64 in the paper)."""
    discriminator_rate: float
    """Its learning rate over the generator's (1 in the paper). In a short training it wins at once unless slow."""


@dataclass(frozen=True)
class ESRGANPreset:
    """How the generator goes on from an RRDB network; its size is that network's."""

    scale: Literal[2, 4, 8]
    losses: AdversarialConfig
    training: TrainingConfig
    storage: Literal["float16", "float32"] = "float32"
    """Type of the numbers in the weights file."""


def train_rrdb(preset: str, data: Path, out: Path, *, start: Path | None, device: str) -> Path:
    """Train an RRDBNet with the L1 loss on the pictures in ``data``; returns the weights file in ``out``.

    Resumes where ``out`` holds an unfinished training of the same preset. ``start`` is an RRDB weights file of the same
    size and any scale, whose weights are taken as far as there are equally named ones; without it they are random.
    Raises PresetError, TrainingError, WeightsError.
    """
    settings = load_preset(files("baselines") / "presets" / "rrdb", preset, RRDBPreset)
    config = settings.training
    accelerator = Accelerator(cpu=device == "cpu")
    patches = Patches(data, settings.network.scale, config)
    known, digest = ({}, "") if start is None else (load_weights(start)[0], sha256_file(start))
    description = open_training(out, "rrdb", preset, settings, config, patches, digest)
    torch.manual_seed(config.seed)
    network = channels_last(RRDBNet(settings.network))
    if start is not None:
        _warm_start(network, known, start)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, config.betas)
    model, optimizer = accelerator.prepare(network, optimizer)

    def take_step(step: int) -> dict[str, float]:
        set_learning_rate(optimizer, config.learning_rate_at(step))
        lr, hr = _on(accelerator, patches, step)
        loss = F.l1_loss(model(lr), hr)
        accelerator.backward(loss)
        clipped_step(accelerator, optimizer, list(model.parameters()), config.max_grad_norm)
        return {"l1": loss.item()}

    fit(out, config, accelerator, {"network": network, "optimizer": optimizer}, take_step)
    return save_trained(out, network, settings.network, description, settings.storage)


def train_esrgan(preset: str, data: Path, out: Path, *, start: Path | None, device: str) -> Path:
    """Train an ESRGAN generator from RRDB weights; returns the weights file in ``out``.

    ``start`` is an RRDB weights file; without it the packaged one of the scale is taken. Losses as in section 3 of
    the ESRGAN paper, with VGG16 in place of VGG19. Raises PresetError, TrainingError, WeightsError.
    """
    settings = load_preset(files("baselines") / "presets" / "esrgan", preset, ESRGANPreset)
    config, losses = settings.training, settings.losses
    accelerator = Accelerator(cpu=device == "cpu")
    patches = Patches(data, settings.scale, config)
    network = channels_last(load_rrdb(settings.scale, start).train())
    description = open_training(out, "esrgan", preset, settings, config, patches, network.weights.sha256)
    torch.manual_seed(config.seed)
    critic = channels_last(Discriminator(config.patch, losses.discriminator_width))
    perceptual = channels_last(PerceptualLoss(load_vgg16(), losses.perceptual_layer).to(accelerator.device))
    optimizers = [torch.optim.Adam(m.parameters(), config.learning_rate, config.betas) for m in (network, critic)]
    generator, discriminator, *optimizers = accelerator.prepare(network, critic, *optimizers)

    def take_step(step: int) -> dict[str, float]:
        for optimizer, share in zip(optimizers, (1.0, losses.discriminator_rate), strict=True):
            set_learning_rate(optimizer, share * config.learning_rate_at(step))
        lr, hr = _on(accelerator, patches, step)
        fake = generator(lr)
        critic.requires_grad_(False)
        pixel, seen = F.l1_loss(fake, hr), perceptual(fake, hr)
        adversarial = generator_loss(discriminator(hr), discriminator(fake))
        total = losses.pixel_weight * pixel + losses.perceptual_weight * seen + losses.adversarial_weight * adversarial
        accelerator.backward(total)
        clipped_step(accelerator, optimizers[0], list(generator.parameters()), config.max_grad_norm)
        critic.requires_grad_(True)
        critic_loss = discriminator_loss(discriminator(hr), discriminator(fake.detach()))
        accelerator.backward(critic_loss)
        clipped_step(accelerator, optimizers[1], list(discriminator.parameters()), config.max_grad_norm)
        return {
            "l1": pixel.item(),
            "perceptual": seen.item(),
            "adversarial": adversarial.item(),
            "critic": critic_loss.item(),
        }

    state = {
        "network": network,
        "critic": critic,
        "optimizer": optimizers[0],
        "critic_optimizer": optimizers[1],
    }
    fit(out, config, accelerator, state, take_step)
    return save_trained(out, network, network.config, description, settings.storage)


def _warm_start(network: RRDBNet, known: dict[str, Tensor], path: Path) -> None:
    """Fill a network with the weights of one of another scale, which has more or fewer convolutions that enlarge."""
    own = network.state_dict()
    shared = {
        name: known.get(name, value) if name.startswith("conv_up.") else known.get(name) for name, value in own.items()
    }
    fill(network, {name: value for name, value in shared.items() if value is not None}, path)


def _on(accelerator: Accelerator, patches: Patches, step: int) -> tuple[Tensor, Tensor]:
    """The share of this process in a batch, on its device."""
    lr, hr = patches.batch(step, accelerator.process_index, accelerator.num_processes)
    return lr.to(accelerator.device, non_blocking=True), hr.to(accelerator.device, non_blocking=True)
