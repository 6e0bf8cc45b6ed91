"""Training of SRFlow with its single loss, the negative log-likelihood, from a pretrained encoder."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

from torch import Tensor

from baselines.pretrained import PRETRAINED_RRDB
from srbench.files.config import load_preset
from srbench.training import TrainingError
from srbench.training.learner import Batch, Learner, adam
from srbench.training.loop import Training
from srbench.training.request import TrainingRequest
from srflow.config import SRFlowConfig
from srflow.model import SRFlow, pretrained
from srflow.presets import FOLDER, SRFlowPreset

LEVELS = 32
"""HR is dequantised as if it had this many grey levels: by uniform noise of width 1/32."""


def train_srflow(request: TrainingRequest) -> Path:
    """Train SRFlow by its negative log-likelihood alone; returns the weights file.

    ``start`` is an RRDB weights file of the encoder's size, or an SRFlow weights file of the network's size; by default
    the packaged RRDB of the scale, if it has the encoder's size. The printed loss is in bits per dimension for images
    quantised to steps of 1/32: the NLL of the dequantised image plus log2(32).
    Raises ConfigError, TrainingError, WeightsError.
    """
    settings = load_preset(FOLDER, request.preset, SRFlowPreset, request.changes)
    require_margin(settings.network)
    training = Training("srflow", settings.network.encoder.scale, settings, request)
    network, start = training.start(
        SRFlow, settings.network, {PRETRAINED_RRDB: "encoder", pretrained("srflow"): ""}, "rrdb", free=("range_margin",)
    )
    if not (start.model or start.is_resumed):
        warnings.warn(
            "no RRDB weights of the encoder's size are packaged, so the encoder starts from random weights and trains "
            "from the first step; to train as published, train rrdb with the preset of the same name and name its "
            "weights with --start",
            stacklevel=2,
        )
    if start.model != "srflow" and not (start.is_resumed or request.dry_run):
        first = training.first_batch()
        network.initialize(first.lr, dequantised(first))
    network.reversible = settings.reversible
    frozen_steps = settings.encoder_freeze * settings.training.steps if start.model == "rrdb" else 0.0
    encoder = list(network.encoder.parameters())
    optimizer = adam([network.flow.parameters(), encoder], settings.training)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        nll = network.bits_per_dimension(batch.lr, dequantised(batch)).mean()
        return nll, {"bits_per_dim": nll + math.log2(LEVELS)}

    def release_encoder(step: int) -> None:
        for parameter in encoder:
            parameter.requires_grad_(step >= frozen_steps)

    return training.fit([Learner("network", network, optimizer, loss)], start, release_encoder)


def dequantised(batch: Batch) -> Tensor:
    """Dequantise HR by uniform noise of width 1/32."""
    return batch.hr + (batch.uniform() - 0.5) / LEVELS


def require_margin(config: SRFlowConfig) -> None:
    """Raise TrainingError if dequantised images can leave the value range that the flow accepts."""
    if config.range_margin is not None and config.range_margin <= 0.5 / LEVELS:
        raise TrainingError(
            f"network.range_margin is {config.range_margin}; it has to exceed {0.5 / LEVELS}, the distance that "
            "dequantisation noise reaches beyond [0, 1]"
        )
