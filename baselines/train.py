"""Training of the baselines: RRDB with an L1 loss, then from it ESRGAN or a rectified flow of its residual."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.esrgan import Discriminator, discriminator_loss, generator_loss
from baselines.presets import (
    ESRGAN_PRESETS,
    RECTIFIED_FLOW_PRESETS,
    RRDB_PRESETS,
    ESRGANPreset,
    RectifiedFlowPreset,
    RRDBPreset,
)
from baselines.pretrained import PRETRAINED_ESRGAN, PRETRAINED_RRDB
from baselines.rectified_flow import PRETRAINED_RECTIFIED_FLOW, RectifiedFlow
from baselines.rrdb import RRDBConfig, RRDBNet
from baselines.vgg import PerceptualLoss, load_vgg, untrained_vgg
from srbench.files.config import ConfigError, load_preset
from srbench.training import TrainingError
from srbench.training.learner import Batch, Learner, Loss, adam, channels_last
from srbench.training.loop import Training
from srbench.training.request import TrainingRequest
from srbench.weights.pretrained import PretrainedModel


def train_rrdb(request: TrainingRequest) -> Path:
    """Train an RRDBNet with the L1 loss; returns the weights file.

    ``start`` is RRDB weights of the same size but any scale, which initialise the layers both networks have; without
    it, the initial weights are random. Raises ConfigError, TrainingError, WeightsError.
    """
    settings = load_preset(RRDB_PRESETS, request.preset, RRDBPreset, request.changes)
    training = Training("rrdb", settings.network.scale, settings, request)
    network, start = training.start(RRDBNet, settings.network, {PRETRAINED_RRDB: ""}, free=("scale", "long_skip"))

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        l1 = F.l1_loss(network(batch.lr), batch.hr)
        return l1, {"l1": l1}

    learner = Learner("network", network, adam([network.parameters()], settings.training), loss)
    return training.fit([learner], start)


def train_esrgan(request: TrainingRequest) -> Path:
    """Train an ESRGAN generator from RRDB weights, or train an ESRGAN further; returns the weights file.

    ``start`` is a weights file of RRDB or ESRGAN, of any size; by default the packaged or released RRDB of the preset's
    ``start``. The losses are those of section 3 of the ESRGAN paper. Raises ConfigError, TrainingError, WeightsError.
    """
    settings = load_preset(ESRGAN_PRESETS, request.preset, ESRGANPreset, request.changes)
    config = RRDBConfig.from_preset(settings.start)
    training = Training("esrgan", config.scale, settings, request)
    sources = {PRETRAINED_RRDB: "", PRETRAINED_ESRGAN: ""}
    network, start = training.start(RRDBNet, config, sources, f"rrdb-{settings.start}", adapts=True)
    torch.manual_seed(settings.training.seed)
    vgg = (untrained_vgg if request.dry_run else load_vgg)(settings.losses.perceptual_network)
    return training.fit(adversaries(network, settings, training.device, vgg), start)


def adversaries(
    generator: RRDBNet, settings: ESRGANPreset, device: torch.device, vgg: Mapping[str, Tensor]
) -> list[Learner]:
    """Generator and discriminator of ESRGAN with their losses; in every step the generator is updated first.

    ``vgg`` holds the weights of the perceptual loss's network.
    """
    config = settings.training
    losses = settings.losses
    discriminator = channels_last(Discriminator(config.patch, losses.discriminator_width)).to(device)
    perceptual = channels_last(PerceptualLoss(vgg, losses.perceptual_network, losses.perceptual_layer)).to(device)
    fakes: dict[int, Tensor] = {}
    """The generator's outputs in this step, kept for the discriminator, by the number of their first patch."""

    def of_generator(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if len(batch.hr) == 1 and config.patch < 64:
            raise ConfigError(
                f"training.patch is {config.patch} with one patch per batch, which leaves the discriminator's batch "
                "normalisation a single value; make training.patch 64 or more, or training.batch larger"
            )
        # ESRGAN, equation 3.
        discriminator.requires_grad_(False)
        output = generator(batch.lr)
        fakes[batch.first] = output.detach()
        pixel = F.l1_loss(output, batch.hr)
        real, fake = (batch.rolled(images, losses.shift) for images in (batch.hr, output))
        features = perceptual(fake, real)
        adversarial = generator_loss(discriminator(real), discriminator(fake))
        total = (
            losses.pixel_weight * pixel + losses.perceptual_weight * features + losses.adversarial_weight * adversarial
        )
        return total, {"l1": pixel, "perceptual": features, "adversarial": adversarial}

    def of_discriminator(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        # ESRGAN, equation 1, on the images that the generator made before its update.
        discriminator.requires_grad_(True)
        real, fake = (batch.rolled(images, losses.shift) for images in (batch.hr, fakes[batch.first]))
        loss = discriminator_loss(discriminator(real), discriminator(fake))
        return loss, {"discriminator": loss}

    generator_adam = adam([generator.parameters()], config)
    discriminator_adam = adam([discriminator.parameters()], config)
    return [
        Learner("generator", generator, generator_adam, of_generator),
        Learner("discriminator", discriminator, discriminator_adam, of_discriminator, losses.discriminator_rate),
    ]


def train_rectified_flow(request: TrainingRequest) -> Path:
    """Train a rectified flow of RRDB's residual by conditional flow matching; returns the weights file.

    ``start`` is a weights file of RRDB, which stays as it is, or of a rectified flow, to train it further; by default
    the packaged RRDB of the scale. Times are logistic-normal: t = sigmoid(x) with x ~ N(0, 1) (Esser et al., "Scaling
    Rectified Flow Transformers for High-Resolution Image Synthesis", ICML 2024, section 3.1). Raises ConfigError,
    TrainingError, WeightsError.
    """
    settings = load_preset(RECTIFIED_FLOW_PRESETS, request.preset, RectifiedFlowPreset, request.changes)
    scale = settings.network.rrdb.scale
    training = Training("rectified-flow", scale, settings, request, temperature=1.0, samples=2)
    sources: dict[PretrainedModel[Any], str] = {PRETRAINED_RRDB: "rrdb", PRETRAINED_RECTIFIED_FLOW: ""}
    network, start = training.start(RectifiedFlow, settings.network, sources, "rrdb")
    if not (start.model or start.is_resumed or request.dry_run):
        raise TrainingError(
            "rectified-flow samples what RRDB leaves out, and no RRDB weights of the preset's size are packaged; name "
            "trained ones with --start: srbench train rrdb makes them"
        )
    network.rrdb.requires_grad_(False)
    learner = Learner(
        "network", network, adam([network.velocity.parameters()], settings.training), flow_matching_loss(network)
    )
    return training.fit([learner], start)


def flow_matching_loss(network: RectifiedFlow) -> Loss:
    """The loss of flow matching, with a noise image and a time for each patch."""

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        drawn = [
            (torch.randn(batch.hr.shape[1:], generator=generator), torch.randn((), generator=generator))
            for generator in batch.generators(3)
        ]
        noise, times = (torch.stack(values).to(batch.hr.device) for values in zip(*drawn, strict=True))
        error = network.flow_matching(batch.lr, batch.hr, noise, times.sigmoid())
        return error, {"flow_matching": error}

    return loss
