"""Small flows for tests."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from baselines.rrdb import RRDBConfig
from srbench.images.resize import downscale
from srflow import SRFlow, SRFlowConfig
from srflow.training.sample_losses import spectra

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


def stripes(images: Tensor) -> Tensor:
    """Log10 ratio of the power at the Nyquist frequency to nearby power, (b, 2): vertical, horizontal stripes.

    Nearby power is the median over the highest eighth of the frequencies, without the two that the Hann window mixes
    with the Nyquist frequency. ``images`` is (b, 3, h, w) in [0, 1] with sides of at least 16 pixels; an odd last row
    or column is ignored.
    """
    ratios = []
    for power in spectra(images):
        nyquist = power.shape[1] - 1
        ratios.append(power[:, nyquist] - power[:, nyquist - max(nyquist // 8, 4) : nyquist - 2].median(1).values)
    return torch.stack(ratios, 1)
