"""Columns of efficient super-resolution: multiply-adds and runtime at a stated size, and the scores of NTIRE.

Ren et al., "The tenth NTIRE 2025 efficient super-resolution challenge report" and "The eleventh NTIRE 2026 efficient
super-resolution challenge report"; their repositories (NTIRE2025_ESR and NTIRE2026_ESR of github.com/Amazingren)
count with fvcore, which calls a multiplication with its addition one FLOP.
"""

from __future__ import annotations

import copy
import math
import re
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from srbench.interfaces import SRModel, StochasticSRModel
from srbench.metrics import MetricError
from srbench.metrics.cost import CONVOLUTIONS, FACTS, Cost, Making, counted, once, parameters_of, upscale_probe

_MOST_SECONDS = 10.0
"""Time after which a runtime is not measured again."""
_RUNS = 5

Shape = Any
"""Sizes of a tensor, or an argument that is none, as torch's counter hands them on."""


def _elements(per_output: int) -> Callable[..., int]:
    """Twice ``per_output`` for every number of the output, as torch's counter counts both of a multiply-add."""
    return lambda *_, out_shape, **__: 2 * per_output * math.prod(out_shape)


def _batch_norm(x: Shape, weight: Shape, *others: Shape, **_: Shape) -> int:
    """Batch normalisation: 2 for every number, or 1 without weights; 5 and 4 if it computes the statistics."""
    is_training = others[3]
    own = (5 if weight else 4) if is_training else (2 if weight else 1)
    return 2 * own * math.prod(x)


def _norm(weight_at: int) -> Callable[..., int]:
    """Layer and group normalisation: 5 for every number of the input, 4 without weights."""
    return lambda *arguments, **_: 2 * (5 if arguments[weight_at] else 4) * math.prod(arguments[0])


def _mean(x: Shape, dims: Shape = None, *_: Shape, **__: Shape) -> int:
    """Pooling to one pixel, which torch computes as a mean over the last two dimensions."""
    return 2 * math.prod(x) if dims is not None and list(dims) == [-1, -2] else 0


_NUMBERWISE: dict[Any, Callable[..., int]] = {
    torch.ops.aten.upsample_nearest2d: _elements(1),
    torch.ops.aten.upsample_bilinear2d: _elements(4),
    torch.ops.aten.grid_sampler_2d: _elements(4),
    torch.ops.aten._adaptive_avg_pool2d: lambda x, *_, **__: 2 * math.prod(x),
    torch.ops.aten.native_batch_norm: _batch_norm,
    torch.ops.aten.cudnn_batch_norm: _batch_norm,
    torch.ops.aten.native_layer_norm: _norm(2),
    torch.ops.aten.native_group_norm: _norm(1),
}
_AS_FVCORE = {
    **CONVOLUTIONS,
    torch.ops.aten.mean: _mean,
    **_NUMBERWISE,
    **{operation.default: count for operation, count in _NUMBERWISE.items()},  # or the counter takes them apart
}
"""Operations that fvcore counts besides those that torch's counter knows."""


@dataclass(frozen=True)
class Size:
    """Size of an image as typed: ``256x256`` of LR, or ``1280x720`` of the output."""

    width: int
    height: int
    is_output: bool

    @classmethod
    def read(cls, lr: str | int, out: str | int) -> Size:
        """Size of LR, or of the output if that is given. Raises MetricError for an invalid size."""
        text = str(out or lr)
        found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
        if found is None or not int(found[1]) or not int(found[2]):
            raise MetricError(f"size is {text!r}; give width x height in pixels, such as 256x256")
        return cls(int(found[1]), int(found[2]), bool(out))

    def of_lr(self, scale: int) -> tuple[int, int]:
        """Height and width of LR, rounded to whole pixels."""
        sides = (self.height, self.width)
        height, width = (max(round(side / scale), 1) for side in sides) if self.is_output else sides
        return height, width

    def __str__(self) -> str:
        """``lr256x256``, as in a signature."""
        return f"{'out' if self.is_output else 'lr'}{self.width}x{self.height}"

    @property
    def sentence(self) -> str:
        """The size as a part of a protocol."""
        what = "an output" if self.is_output else "the output of an LR image"
        return f"{what} of {self.width}x{self.height} pixels"


def multiply_adds(model: SRModel | StochasticSRModel, temperature: float | None, device: str, size: Size) -> float:
    """Multiply-adds of one output by fvcore's convention; NaN if torch does not see them."""

    def found() -> float:
        lr = size.of_lr(model.scale)
        with suppress(Exception):  # a network that looks at its numbers, or names its device, has to compute
            return _counted(_without_numbers(model), temperature, "meta", lr)
        return _counted(model, temperature, device, lr)

    return once(model, ("multiply-adds", temperature, size), found)


def _without_numbers(model: SRModel | StochasticSRModel) -> SRModel | StochasticSRModel:
    """A copy whose networks have shapes and no numbers, which costs neither time nor memory."""
    networks = [one for one in (model, *vars(model).values()) if isinstance(one, nn.Module)]
    parameters = {id(one): nn.Parameter(one.to("meta")) for each in networks for one in each.parameters()}
    buffers = {id(one): one.to("meta") for each in networks for one in each.buffers()}
    return copy.deepcopy(model, {**parameters, **buffers})


def _counted(model: SRModel | StochasticSRModel, temperature: float | None, device: str, lr: tuple[int, int]) -> float:
    return counted(model, lr, temperature, device, _AS_FVCORE)[0] / 2


def milliseconds(model: SRModel | StochasticSRModel, temperature: float | None, device: str, size: Size) -> float:
    """Median time of five outputs after a warm-up, or of fewer if they take more than 10 s."""

    def elapsed() -> float:
        _finish(device)
        start = time.perf_counter()
        upscale_probe(model, size.of_lr(model.scale), temperature, device)
        _finish(device)
        return time.perf_counter() - start

    def found() -> float:
        elapsed()
        times = [elapsed()]
        while len(times) < _RUNS and sum(times) < _MOST_SECONDS:
            times.append(elapsed())
        return 1e3 * statistics.median(times)

    return once(model, ("milliseconds", temperature, device, size), found)


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


class MultiplyAdds(Cost):
    """Billions of multiply-adds of one output, by fvcore's convention."""

    def __init__(self, lr: str | int = "256x256", out: str | int = "") -> None:
        self._size = Size.read(lr, out)
        self.facts = replace(
            FACTS,
            name="multiply_adds",
            title="multiply-adds, G",
            unit="10^9",
            signature=f"{self._size}|fvcore|v1",
            protocol=(
                f"for {self._size.sentence}, counted as fvcore does: a multiplication with its addition is one, in "
                "convolutions and products of matrices, attention included; besides, numbers that normalisation (5, 4 "
                "without weights; 2 and 1 for fixed batch statistics), nearest (1) and bilinear upscaling and sampling "
                "(4) and pooling to a fixed size (1) read or make; bias, activations and sums are not counted"
            ),
        )

    def _of(self, making: Making, model: SRModel | StochasticSRModel) -> float:
        return multiply_adds(model, making.temperature, making.device, self._size) / 1e9


class Runtime(Cost):
    """Milliseconds of one output of a stated size."""

    is_time = True
    """Its value cannot be reproduced on a different machine."""

    def __init__(self, lr: str | int = "256x256", out: str | int = "") -> None:
        self._size = Size.read(lr, out)
        self.facts = replace(
            FACTS,
            name="runtime",
            title="runtime, ms",
            unit="ms",
            signature=f"{self._size}|v1",
            protocol=(
                f"wall clock of the model for {self._size.sentence} on the machine of the run, median of five, after "
                "one that does not count; on a CPU with the threads of the process"
            ),
        )

    def _of(self, making: Making, model: SRModel | StochasticSRModel) -> float:
        return milliseconds(model, making.temperature, making.device, self._size)


class _Score(Cost):
    """Score of the main track of a challenge, from the runtime of its baseline on this machine."""

    is_time = True
    year: int
    baseline: str
    multiply_adds: float
    """Multiply-adds of the baseline at LR 256x256, in 10^9."""
    parameters: float
    """Parameters of the baseline, in millions."""
    weight: float
    """Weight of the runtime; multiply-adds and parameters share the rest."""

    def __init__(self, runtime: str | int = "") -> None:
        name, self._size = f"ntire{self.year}_esr", Size.read("256x256", "")
        if runtime == "":
            raise MetricError(
                f"{name} needs the runtime of {self.baseline} on this machine; measure it (column runtime), then add "
                f"the score: srbench score RUN --metrics {__name__}:{type(self).__name__}+runtime=MILLISECONDS"
            )
        try:
            self._runtime = float(runtime)
        except ValueError:
            self._runtime = math.nan
        if not 0 < self._runtime < math.inf:
            raise MetricError(f"runtime is {runtime!r}; give the milliseconds of {self.baseline}, above 0")
        self.facts = replace(
            FACTS,
            name=name,
            title=f"ESR score 20{self.year}",
            signature=f"{self._size}|{self.baseline}{self._runtime:g}ms|v1",
            protocol=(
                f"score of NTIRE 20{self.year}, efficient super-resolution, lower is better: "
                f"{self.weight:g} exp(2 runtime / {self._runtime:g} ms) + {(1 - self.weight) / 2:g} (exp(2 multiply-adds "
                f"/ {self.multiply_adds:.2f} G) + exp(2 parameters / {self.parameters:.3f} M)), "
                "runtime and multiply-adds at LR 256x256 as in their columns, the baseline's runtime as stated; "
                f"{self.baseline} itself scores 7.389"
            ),
        )

    @classmethod
    def score(cls, runtime: float, multiply_adds: float, parameters: float) -> float:
        """The score, from a runtime over the baseline's, 10^9 multiply-adds and 10^6 parameters.

        Lower is better; the baseline scores 7.3891, the square of e.
        """
        shares = torch.tensor(
            [runtime, multiply_adds / cls.multiply_adds, parameters / cls.parameters], dtype=torch.float64
        )
        rest = (1 - cls.weight) / 2
        return float(torch.exp(2 * shares) @ shares.new_tensor([cls.weight, rest, rest]))

    def _of(self, making: Making, model: SRModel | StochasticSRModel) -> float:
        runtime = milliseconds(model, making.temperature, making.device, self._size)
        counted = multiply_adds(model, making.temperature, making.device, self._size)
        return self.score(runtime / self._runtime, counted / 1e9, parameters_of(model) / 1e6)


class NTIRE25ESR(_Score):
    """Score of the NTIRE 2025 challenge on efficient super-resolution."""

    year, baseline, weight = 25, "EFDN", 0.7
    multiply_adds, parameters = 16.703470848, 0.276192


class NTIRE26ESR(_Score):
    """Score of the NTIRE 2026 challenge on efficient super-resolution."""

    year, baseline, weight = 26, "SPAN", 0.8
    multiply_adds, parameters = 9.833807872, 0.150688
