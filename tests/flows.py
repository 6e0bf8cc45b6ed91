"""Small flows for tests."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from baselines.rrdb import RRDBConfig
from srbench.images.resize import downscale
from srflow import SRFlow, SRFlowConfig

CONFIG = SRFlowConfig(RRDBConfig(4, 8, 4, 2), (0, 1), steps=2, width=8)


def small_flow(scale: int = 4, seed: int = 0, **changes: object) -> SRFlow:
    """A flow of CONFIG's size, moved a little from the identity, which it is at first and which hides faults."""
    torch.manual_seed(seed)
    model = SRFlow(replace(CONFIG, encoder=replace(CONFIG.encoder, scale=scale), **changes))
    for name, parameter in model.flow.named_parameters():
        if name.endswith(("last.weight", "prior.weight", "bias", "log_scale")):
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def pair(
    scale: int, height: int, width: int, batch: int = 2, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """HR of random numbers, and its LR of height x width."""
    hr = torch.rand((batch, 3, scale * height, scale * width), generator=seeded(height * width), dtype=dtype)
    return hr, downscale(hr, scale)


def seeded(seed: int = 0) -> torch.Generator:
    """A generator with a seed."""
    return torch.Generator().manual_seed(seed)
