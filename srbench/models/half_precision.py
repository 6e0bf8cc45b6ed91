"""Models in bfloat16 by torch's autocast: the factors of convolutions and matrix products have 8 bits of mantissa.

Sums stay in float32, and so do the operations that a model excludes: in SRFlow the affine maps, the channel mixing, the
log-determinants and the projection onto LR.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from srbench.interfaces import StochasticSRModel, TiledSRModel
from srbench.plugins import PluginError

_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names in /proc/cpuinfo of instruction sets that multiply bfloat16."""


def require_bfloat16(device: str, text: str) -> None:
    """Raise PluginError, naming the model ``text``, if the device has no bfloat16 instructions."""
    if device == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = device == "cpu" and sys.platform == "linux" and not _INSTRUCTIONS.isdisjoint(_cpu_flags())
    if not supported:
        raise PluginError(f"{text}: this machine has no bfloat16 instructions ({device}); omit +bf16")


def _cpu_flags() -> list[str]:
    return Path("/proc/cpuinfo").read_text().split()


class Half:
    """Wrap a deterministic model to compute in bfloat16."""

    def __init__(self, model: Callable[[Tensor], Tensor], scale: int) -> None:
        self.scale, self._model = scale, model

    def __call__(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w) in float32, not clamped."""
        with _half(lr):
            return self._model(lr).float()


class HalfSamples:
    """Wrap a stochastic model to compute in bfloat16."""

    def __init__(self, model: StochasticSRModel) -> None:
        self.scale, self._model = model.scale, model

    def sample(self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator) -> Tensor:
        """(3, h, w) in [0, 1] -> (n, 3, s*h, s*w) in float32, not clamped. ``generator`` is a CPU generator."""
        with _half(lr):
            return self._model.sample(lr, n, temperature=temperature, generator=generator).float()


class HalfTiledSamples(HalfSamples):
    """Like ``HalfSamples``, for a model that can sample in tiles."""

    _model: TiledSRModel

    def samples(
        self,
        lr: Tensor,
        n: int,
        *,
        temperature: float,
        generator: torch.Generator,
        tile: int | None,
        progress: Callable[[float], None] = lambda share: None,
    ) -> Iterator[Tensor]:
        """Yield n samples, (3, s*h, s*w) each; see ``TiledSRModel.samples``."""
        samples = self._model.samples(lr, n, temperature=temperature, generator=generator, tile=tile, progress=progress)
        for _ in range(n):
            with _half(lr):  # closed before each yield, because autocast is a setting of the thread
                image = next(samples).float()
            yield image
            del image


def _half(lr: Tensor) -> torch.autocast:
    return torch.autocast(lr.device.type, torch.bfloat16)
