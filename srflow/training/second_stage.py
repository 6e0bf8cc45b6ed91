"""Second training stage: SRFlow weights are fine-tuned with losses on samples.

Maximum likelihood makes every HR image likely, but does not make every sample look like an HR image. Losses on samples
do (HCFlow++: Liang et al., ICCV 2021, section 3.4; FxSR: Park et al., 2022). The result is a separate model,
``srflow-perceptual``, because ``srflow`` uses only the loss of its paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.vgg import PerceptualLoss, load_vgg, untrained_vgg
from srbench.files.config import ConfigError, load_preset
from srbench.machine.precision import autocast
from srbench.training.learner import Batch, Learner, adam, channels_last
from srbench.training.loop import Training
from srbench.training.request import TrainingRequest
from srflow.config import SRFlowConfig
from srflow.given import bits_per_dimension
from srflow.model import SRFlow, pretrained
from srflow.presets import PERCEPTUAL, SecondStagePreset
from srflow.training.sample_losses import WINDOW, channel_weights, sample_losses
from srflow.training.train import LEVELS, dequantised, require_margin

NAME = "srflow-perceptual"


def train_srflow_perceptual(request: TrainingRequest) -> Path:
    """Fine-tune SRFlow weights with likelihood, L1 and losses on samples; returns the weights file.

    ``start`` is a weights file of ``srflow`` or ``srflow-perceptual``; by default the packaged SRFlow of the preset's
    ``start``. Raises ConfigError, TrainingError, WeightsError.
    """
    settings = load_preset(PERCEPTUAL, request.preset, SecondStagePreset, request.changes)
    if settings.training.patch < WINDOW:
        raise ConfigError(
            f"training.patch is {settings.training.patch}; it has to be {WINDOW} or more, because textures are "
            f"compared in windows of {WINDOW} pixels"
        )
    config = SRFlowConfig.from_preset(settings.start)
    training = Training(NAME, config.encoder.scale, settings, request)
    sources = {pretrained("srflow"): "", pretrained(NAME): ""}
    network, start = training.start(SRFlow, config, sources, f"srflow-{settings.start}", adapts=True)
    require_margin(network.config)
    vgg = (untrained_vgg if request.dry_run else load_vgg)("vgg16")
    losses = Losses(network, settings, training.device, vgg)
    learner = Learner("network", network, adam([network.parameters()], settings.training), losses)
    return training.fit([learner], start)


class Losses:
    """The losses of the second stage, which share one encoding of LR; ``vgg`` holds the weights of VGG16."""

    def __init__(
        self, network: SRFlow, settings: SecondStagePreset, device: torch.device, vgg: Mapping[str, Tensor]
    ) -> None:
        self.network = network
        self.weights = settings.losses
        perceptual = PerceptualLoss(vgg, "vgg16", self.weights.perceptual_layer)
        self.perceptual = channels_last(perceptual).to(device)
        self.channel_weights = [weight.to(device) for weight in channel_weights()]

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and its terms by name: bits per dimension as in the first stage, then losses on images."""
        weights = self.weights
        given = self.network.given(batch.lr, gradients=True)
        encoded, log_det = given.encode(dequantised(batch))
        nll = bits_per_dimension(encoded, log_det).mean()
        latents = _latents(encoded, batch, given.temperatures(weights.temperature))
        pixel = F.l1_loss(given.project(given.decode([torch.zeros_like(z) for z in latents])), batch.hr)
        sample = given.project(given.decode(latents))
        features = self._features(batch, sample)
        losses = sample_losses((sample, batch.hr), features, self.channel_weights, self.network.scale)
        total = weights.nll_weight * nll + weights.pixel_weight * pixel
        for name, loss in losses.items():
            total = total + getattr(weights, f"{name}_weight") * loss
        return total, {"bits_per_dim": nll + math.log2(LEVELS), "l1": pixel, **losses}

    def _features(self, batch: Batch, sample: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """VGG features of the samples and of HR, rolled by the same random offsets."""
        sample, hr = (batch.rolled(images, self.weights.shift) for images in (sample, batch.hr))
        half = self.weights.perceptual_precision == "bfloat16"
        with autocast(sample.device, enabled=half):
            sample_features = self.perceptual.features(sample)
            with torch.no_grad():
                hr_features = self.perceptual.features(hr)
        return sample_features, hr_features


def _latents(like: Sequence[Tensor], batch: Batch, temperatures: Sequence[float]) -> list[Tensor]:
    """Draw one sample's latents for each LR image; they depend only on the seed, the step and the patch number."""
    drawn = [[torch.randn(z[:1].shape, generator=generator) for z in like] for generator in batch.generators(3)]
    return [torch.cat(z).to(like[0]).mul_(t) for z, t in zip(zip(*drawn, strict=True), temperatures, strict=True)]
