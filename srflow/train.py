"""Train SRFlow: one loss, the negative log-likelihood, from a pretrained encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator

from baselines.rrdb import RRDBNet, load_rrdb
from srbench.config import load_preset
from srbench.training.loop import (
    TrainingConfig,
    TrainingError,
    clipped_step,
    fit,
    open_training,
    save_trained,
    set_learning_rate,
)
from srbench.training.patches import Patches, generator_at
from srflow.config import SRFlowConfig
from srflow.model import SRFlow

LEVELS = 32
"""Dequantisation noise is uniform over a 1/32 of the range."""


@dataclass(frozen=True)
class SRFlowPreset:
    """A network and how it is trained."""

    network: SRFlowConfig
    training: TrainingConfig
    frozen: float = 0.5
    """Fraction of the training in which the encoder stays as pretrained (SRFlow, section 4.1)."""
    reversible: bool = False
    """Store no activations: a third of the memory or less, for more time a step."""
    storage: Literal["float16", "float32"] = "float32"
    """Type of the numbers in the weights file."""


def train_srflow(preset: str, data: Path, out: Path, *, start: Path | None, device: str) -> Path:
    """Train SRFlow on the pictures in ``data``; returns the weights file in ``out``.

    ``start`` is an RRDB weights file of the encoder's size; without it the packaged one of the scale is taken.
    The loss printed is the bits per dimension of the picture in 1/32 steps: nll of the noisy picture plus log2(32).
    Raises PresetError, TrainingError, WeightsError.
    """
    settings = load_preset(files("srflow") / "presets", preset, SRFlowPreset)
    config = settings.training
    accelerator = Accelerator(cpu=device == "cpu")
    patches = Patches(data, settings.network.encoder.scale, config)
    pretrained = load_rrdb(settings.network.encoder.scale, start)
    description = open_training(out, "srflow", preset, settings, config, patches, pretrained.weights.sha256)
    torch.manual_seed(config.seed)
    network = SRFlow(settings.network)
    network.reversible = settings.reversible
    _start_encoder(network, pretrained)
    lr, hr = patches.batch(0)
    network.initialize(_noisy(hr, config.seed, 0, 0), lr)
    encoder = list(network.encoder.parameters())
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, config.betas)
    model, optimizer = accelerator.prepare(network, optimizer)

    def take_step(step: int) -> dict[str, float]:
        set_learning_rate(optimizer, config.learning_rate_at(step))
        for parameter in encoder:
            parameter.requires_grad_(step >= settings.frozen * config.steps)
        rank = accelerator.process_index
        lr, hr = patches.batch(step, rank, accelerator.num_processes)
        noisy = _noisy(hr, config.seed, step, rank).to(accelerator.device)
        loss = model(noisy, lr.to(accelerator.device)).mean()
        accelerator.backward(loss)
        norm = clipped_step(accelerator, optimizer, list(model.parameters()), config.max_grad_norm)
        return {"bits_per_dim": loss.item() + math.log2(LEVELS), "gradient": norm}

    fit(out, config, accelerator, {"network": network, "optimizer": optimizer}, take_step)
    return save_trained(out, network, settings.network, description, settings.storage)


def _noisy(hr: torch.Tensor, seed: int, step: int, rank: int) -> torch.Tensor:
    """Dequantise (b, 3, h, w) in [0, 1]: add uniform noise of width 1/32."""
    noise = torch.rand(hr.shape, generator=generator_at(seed, step, rank, 1))
    return hr + (noise - 0.5) / LEVELS


def _start_encoder(network: SRFlow, pretrained: RRDBNet) -> None:
    if pretrained.config != network.config.encoder:
        raise TrainingError(
            f"the preset's encoder is {network.config.encoder}, the RRDB weights are {pretrained.config}; "
            "name weights of that size with --start"
        )
    known = network.encoder.state_dict()
    network.encoder.load_state_dict({k: v for k, v in pretrained.state_dict().items() if k in known})
