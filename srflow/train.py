"""Train SRFlow: one loss, the negative log-likelihood, from a pretrained encoder."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import torch
from torch import Tensor

from baselines.rrdb import RRDBConfig, RRDBNet
from baselines.zoo import load_rrdb
from srbench.config import load_preset
from srbench.training.config import TrainingError
from srbench.training.learner import Batch, Learner, adam
from srbench.training.loop import Training
from srbench.types import TrainingRequest
from srbench.weights.files import WeightsError
from srflow.model import SRFlow
from srflow.presets import FOLDER, SRFlowPreset

LEVELS = 32
"""Dequantisation noise is uniform over a 1/32 of the range."""


def train_srflow(request: TrainingRequest) -> Path:
    """Train SRFlow by its negative log-likelihood alone; returns the weights file.

    ``start`` is an RRDB weights file of the encoder's size; without it the packaged one of the scale is taken if it is
    of that size. The loss printed is the bits per dimension of the image in 1/32 steps: nll of the noisy image plus
    log2(32).
    Raises PresetError, TrainingError, WeightsError.
    """
    settings = load_preset(FOLDER, request.preset, SRFlowPreset, request.changes)
    training = Training("srflow", settings.network.encoder.scale, settings, request)
    pretrained = _pretrained(settings.network.encoder, request.start)
    torch.manual_seed(settings.training.seed)
    network = SRFlow(settings.network)
    network.reversible = settings.reversible
    if pretrained is not None:
        known = network.encoder.state_dict()
        network.encoder.load_state_dict({k: v for k, v in pretrained.state_dict().items() if k in known})
    network.to(training.device)
    first = training.first_batch()
    network.initialize(_noisy(first), first.lr)
    encoder = list(network.encoder.parameters())
    optimizer = adam([network.flow.parameters(), encoder], settings.training)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        nll = network(_noisy(batch), batch.lr).mean()
        return nll, {"bits_per_dim": nll + math.log2(LEVELS)}

    def release(step: int) -> None:
        free = pretrained is None or step >= settings.frozen * settings.training.steps
        for parameter in encoder:
            parameter.requires_grad_(free)

    start = "" if pretrained is None else pretrained.weights.sha256
    return training.fit([Learner("network", network, optimizer, loss)], start, release)


def _noisy(batch: Batch) -> Tensor:
    """HR, dequantised by uniform noise of width 1/32."""
    return batch.hr + (batch.uniform() - 0.5) / LEVELS


def _pretrained(config: RRDBConfig, start: Path | None) -> RRDBNet | None:
    """The network that the encoder starts from. None, with a warning, where none is named and none fits."""
    try:
        network = load_rrdb(config.scale, start)
    except WeightsError:
        if start is not None:
            raise
        network = None
    if network is not None and network.config == config:
        return network
    if network is not None and start is not None:
        raise TrainingError(
            f"the preset's encoder is {config}, the RRDB weights are {network.config}; "
            "name weights of that size with --start"
        )
    warnings.warn(
        "no RRDB weights of the encoder's size are packaged, so it starts from random numbers and learns from the "
        "first step; to train as published, train rrdb by the preset of the same name and name them with --start",
        stacklevel=2,
    )
    return None
