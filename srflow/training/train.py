"""Training of SRFlow: one loss, the negative log-likelihood, from a pretrained encoder."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from baselines.rrdb import RRDBNet
from baselines.zoo import load_rrdb
from srbench.files.config import load_preset
from srbench.interfaces import TrainingRequest
from srbench.training import TrainingError
from srbench.training.learner import Batch, Learner, adam
from srbench.training.loop import Training
from srbench.weights.files import WeightsError, load_metadata
from srbench.weights.metadata import read_metadata
from srflow.config import SRFlowConfig
from srflow.model import SRFlow
from srflow.presets import FOLDER, SRFlowPreset

LEVELS = 32
"""Grey levels to which HR is dequantised: uniform noise spans one of them, 1/32."""


def train_srflow(request: TrainingRequest) -> Path:
    """Train SRFlow by its negative log-likelihood alone; returns the weights file.

    ``start`` is an RRDB weights file of the encoder's size, or an SRFlow weights file of the network's size; by default
    the packaged RRDB of the scale, if it has the encoder's size. The printed loss is in bits per dimension of an image
    in steps of 1/32: the NLL of the noisy image plus log2(32). Raises ConfigError, TrainingError, WeightsError.
    """
    settings = load_preset(FOLDER, request.preset, SRFlowPreset, request.changes)
    require_margin(settings.network)
    training = Training("srflow", settings.network.encoder.scale, settings, request)
    torch.manual_seed(settings.training.seed)
    if request.start is not None and model_of(request.start) == "srflow":
        network = trained(settings.network, request.start).train().to(training.device)
        start = network.weights.sha256
        frozen_steps = 0.0
    else:
        network = SRFlow(settings.network)
        rrdb = _pretrained_rrdb(settings.network, request.start)
        if rrdb is not None:
            known = network.encoder.state_dict()
            network.encoder.load_state_dict({k: v for k, v in rrdb.state_dict().items() if k in known})
        network.to(training.device)
        first = training.first_batch()
        network.initialize(noisy(first), first.lr)
        start = "" if rrdb is None else rrdb.weights.sha256
        frozen_steps = 0.0 if rrdb is None else settings.frozen * settings.training.steps
    network.reversible = settings.reversible
    encoder = list(network.encoder.parameters())
    optimizer = adam([network.flow.parameters(), encoder], settings.training)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        nll = network(noisy(batch), batch.lr).mean()
        return nll, {"bits_per_dim": nll + math.log2(LEVELS)}

    def release_encoder(step: int) -> None:
        for parameter in encoder:
            parameter.requires_grad_(step >= frozen_steps)

    return training.fit([Learner("network", network, optimizer, loss)], start, release_encoder)


def noisy(batch: Batch) -> Tensor:
    """HR, dequantised by uniform noise of width 1/32."""
    return batch.hr + (batch.uniform() - 0.5) / LEVELS


def require_margin(config: SRFlowConfig) -> None:
    """Raise TrainingError if dequantised images leave the range of values that the flow accepts."""
    if config.range_margin is not None and config.range_margin <= 0.5 / LEVELS:
        raise TrainingError(
            f"network.range_margin is {config.range_margin}; the noise reaches {0.5 / LEVELS} beyond [0, 1], so it has "
            "to be larger"
        )


def model_of(path: Path) -> str:
    """The model that a weights file states; "" for other files. Raises WeightsError."""
    return read_metadata(load_metadata(path), path).model if path.suffix == ".safetensors" else ""


def trained(config: SRFlowConfig, path: Path | None, model: str = "srflow") -> SRFlow:
    """The network in a weights file of ``model``, or the packaged network, to be trained further.

    It gets the ``range_margin`` of ``config``, which belongs to no weights. Raises TrainingError if the rest of its
    configuration differs from ``config``, WeightsError.
    """
    network = SRFlow.from_pretrained(config.encoder.scale, path, model)
    network.config = replace(network.config, range_margin=config.range_margin)
    if network.config != config:
        raise TrainingError(
            f"the preset's network is {config}, that of the weights is {network.config}; name other weights by "
            "--start, or change the preset's network"
        )
    return network


def _pretrained_rrdb(config: SRFlowConfig, start: Path | None) -> RRDBNet | None:
    """The RRDB network that the encoder starts from; None, with a warning, if none of its size is packaged."""
    try:
        network = load_rrdb(config.encoder.scale, start)
        if network.config == config.encoder:
            return network
    except WeightsError:
        if start is not None:
            raise
    if start is not None:
        raise TrainingError(
            f"the preset's encoder is {config.encoder}, the RRDB weights are {network.config}; "
            "name weights of that size with --start"
        )
    warnings.warn(
        "no RRDB weights of the encoder's size are packaged, so it starts from random numbers and learns from the "
        "first step; to train as published, train rrdb by the preset of the same name and name them with --start",
        stacklevel=2,
    )
    return None
