"""A bijection between the real numbers and (-m, 1 + m), which keeps samples from diverging.

Values in [0, 1] are unchanged, so the network loses nothing: HR images have no other values. The values of a rare
sample beyond [0, 1] are compressed into a margin m on either side: x = 1 + m tanh((u - 1) / m) above and
x = m tanh(u / m) below. Without this, projection onto LR spreads such values, and after clipping the sample no longer
downscales to LR.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NEAREST = 1 - 1e-6
"""Fraction of the margin beyond which values are clamped, because the inverse is infinite at the end."""


def bounded(values: Tensor, margin: float) -> Tensor:
    """Map real values to (-margin, 1 + margin), keeping the shape."""
    within = values.clamp(0, 1)
    return within + margin * torch.tanh((values - within) / margin)


def unbounded(values: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Invert ``bounded`` for values (b, ...); also returns the inverse's log|det|, (b,).

    Values at or beyond the ends of the range are clamped to just inside it: all that ``bounded`` maps there, from
    more than atanh(_NEAREST) = 7.25 margins beyond [0, 1], returns as 7.25 margins.
    """
    within = values.clamp(0, 1)
    fraction = ((values - within) / margin).clamp(-_NEAREST, _NEAREST)
    log_det = -torch.log1p(-fraction.square()).flatten(1).sum(1)
    return within + margin * torch.atanh(fraction), log_det
