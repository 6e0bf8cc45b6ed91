"""Small flows for tests."""

from __future__ import annotations

import torch

from srflow import SRFlow


def disturbed(model: SRFlow) -> SRFlow:
    """Move a flow a little from the identity, which it is before training, and at which faults are hidden."""
    for name, parameter in model.flow.named_parameters():
        if name.endswith(("last.weight", "prior.weight", "bias", "log_scale")):
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def seeded(seed: int = 0) -> torch.Generator:
    """A generator with a seed."""
    return torch.Generator().manual_seed(seed)
