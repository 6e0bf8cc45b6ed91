"""The exponential moving average of a network's weights."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Average:
    """A network whose weights are the average of another's: ``decay`` of the old, the rest of the new, at every step.

    With a decay of 0 it is the other network itself and costs nothing.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self._source = network
        self._averaged = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]
            if decay
            else None
        )

    @property
    def network(self) -> torch.nn.Module:
        """What to validate and to keep."""
        return self._source if self._averaged is None else self._averaged.module

    def update(self) -> None:
        """After a step."""
        if self._averaged is not None:
            self._averaged.update_parameters(self._source)

    def state_dict(self) -> dict[str, Any]:
        """Empty without an average."""
        return {} if self._averaged is None else self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Restore it."""
        if self._averaged is not None:
            self._averaged.load_state_dict(state)
