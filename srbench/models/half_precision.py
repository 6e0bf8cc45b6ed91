"""Models in bfloat16, by torch's autocast: convolutions and matrix products take factors of 8 bits of mantissa.

Sums, and whatever a model excludes, stay in float32: SRFlow its affine maps, the mixing of channels, log-determinants
and the projection onto LR.
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
"""Names in /proc/cpuinfo of instructions that multiply bfloat16."""


def require_bfloat16(device: str, text: str) -> None:
    """Raise PluginError, which names the model ``text``, if the device has no instructions for bfloat16."""
    if device == "cuda":
        there = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        there = device == "cpu" and sys.platform == "linux" and not _INSTRUCTIONS.isdisjoint(_cpu_flags())
    if not there:
        raise PluginError(f"{text}: this machine has no bfloat16 instructions ({device}); leave +bf16 out")


def _cpu_flags() -> list[str]:
    return Path("/proc/cpuinfo").read_text().split()


class Half:
    """A model that computes its output in bfloat16."""

    def __init__(self, model: Callable[[Tensor], Tensor], scale: int) -> None:
        self.scale, self._model = scale, model

    def __call__(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w) in float32, not clamped."""
        with _half(lr):
            return self._model(lr).float()


class HalfSamples:
    """A model that computes its samples in bfloat16."""

    def __init__(self, model: StochasticSRModel) -> None:
        self.scale, self._model = model.scale, model

    def sample(self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator) -> Tensor:
        """(3, h, w) in [0, 1] -> (n, 3, s*h, s*w) in float32, not clamped. The generator lives on the CPU."""
        with _half(lr):
            return self._model.sample(lr, n, temperature=temperature, generator=generator).float()


class HalfTiledSamples(HalfSamples):
    """The same for a model that can sample in tiles."""

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
            with _half(lr):  # left before each yield, because autocast is a setting of the thread
                image = next(samples).float()
            yield image
            del image


def _half(lr: Tensor) -> torch.autocast:
    return torch.autocast(lr.device.type, torch.bfloat16)
