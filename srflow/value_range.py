"""A bijection between all numbers and those near [0, 1], which keeps samples from running away.

Values in [0, 1] stay as they are, so it costs a network nothing: HR images have no others. What a rare sample has
beyond them is compressed into a margin m on either side: x = 1 + m tanh((u - 1) / m) above, x = m tanh(u / m) below.
Without it such values spread when the sample is projected onto LR, and once clipped it no longer downscales to LR.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NEAREST = 1 - 1e-6
"""Share of the margin at which values are taken for its end, where the inverse is infinite."""


def bounded(values: Tensor, margin: float) -> Tensor:
    """Any values -> values in (-margin, 1 + margin), of the same shape."""
    within = values.clamp(0, 1)
    return within + margin * torch.tanh((values - within) / margin)


def unbounded(values: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Invert ``bounded`` for values (b, ...): the values, and log|det| of the inverse, (b,).

    Values at or beyond the ends of the range count as next to them.
    """
    within = values.clamp(0, 1)
    share = ((values - within) / margin).clamp(-_NEAREST, _NEAREST)
    log_det = -torch.log1p(-share.square()).flatten(1).sum(1)
    return within + margin * torch.atanh(share), log_det
