"""Metrics of efficient super-resolution: multiply-adds and runtime at a stated size, and the NTIRE scores.

Ren et al., "The tenth NTIRE 2025 efficient super-resolution challenge report" and "The eleventh NTIRE 2026 efficient
super-resolution challenge report"; their repositories (NTIRE2025_ESR and NTIRE2026_ESR of github.com/Amazingren)
count with fvcore, for which a multiply-add is one FLOP.
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
from srbench.metrics.cost import CONVOLUTIONS, FACTS, CostMetric, ModelCall, counted, once, parameters_of, upscale_probe

_MOST_SECONDS = 10.0
"""Total time after which a runtime is not measured again."""
_RUNS = 5
"""Largest number of runtimes of which the median is taken."""

Shape = Any
"""Shape of a tensor, or another argument, as passed by torch's counter."""


def _elements(per_output: int) -> Callable[..., int]:
    """Count ``per_output`` multiply-adds per output value, doubled because torch's counter counts both operations."""
    return lambda *_, out_shape, **__: 2 * per_output * math.prod(out_shape)


def _batch_norm(x: Shape, weight: Shape, *others: Shape, **_: Shape) -> int:
    """Batch normalisation: 2 per value, 1 without weights; 5 and 4 if it computes the statistics."""
    is_training = others[3]
    own = (5 if weight else 4) if is_training else (2 if weight else 1)
    return 2 * own * math.prod(x)


def _norm(weight_at: int) -> Callable[..., int]:
    """Layer and group normalisation: 5 per input value, 4 without weights."""
    return lambda *arguments, **_: 2 * (5 if arguments[weight_at] else 4) * math.prod(arguments[0])


def _mean(x: Shape, dims: Shape = None, *_: Shape, **__: Shape) -> int:
    """Pooling to one pixel, which torch implements as a mean over the last two dimensions."""
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
    **{
        operation.default: count for operation, count in _NUMBERWISE.items()
    },  # overloads too, else the counter decomposes the operations
}
"""Formulas of fvcore for operations that torch's counter does not know."""


@dataclass(frozen=True)
class Size:
    """Size of an image as typed: ``256x256`` of LR, or ``1280x720`` of the output."""

    width: int
    height: int
    is_output: bool

    @classmethod
    def read(cls, lr: str | int, out: str | int) -> Size:
        """Parse the size of the output if given, else of LR. Raises MetricError for an invalid size."""
        text = str(out or lr)
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
        if match is None or not int(match[1]) or not int(match[2]):
            raise MetricError(f"size is {text!r}; give width x height in pixels, such as 256x256")
        return cls(int(match[1]), int(match[2]), bool(out))

    def of_lr(self, scale: int) -> tuple[int, int]:
        """Return height and width of LR, rounded to whole pixels."""
        sides = (self.height, self.width)
        height, width = (max(round(side / scale), 1) for side in sides) if self.is_output else sides
        return height, width

    def __str__(self) -> str:
        """Format as in a signature: ``lr256x256``."""
        return f"{'out' if self.is_output else 'lr'}{self.width}x{self.height}"

    @property
    def sentence(self) -> str:
        """The size in words, for a protocol."""
        image = "an output" if self.is_output else "the output of an LR image"
        return f"{image} of {self.width}x{self.height} pixels"


def multiply_adds(model: SRModel | StochasticSRModel, temperature: float | None, device: str, size: Size) -> float:
    """Count the multiply-adds of one output by fvcore's convention; NaN if they bypass torch."""

    def count() -> float:
        lr = size.of_lr(model.scale)
        with suppress(Exception):  # meta tensors fail if a network reads values or names its device
            return _counted(_on_meta_device(model), temperature, "meta", lr)
        return _counted(model, temperature, device, lr)

    return once(model, ("multiply-adds", temperature, size), count)


def _on_meta_device(model: SRModel | StochasticSRModel) -> SRModel | StochasticSRModel:
    """Copy a model with its networks on the meta device, where computing takes neither time nor memory."""
    networks = [part for part in (model, *vars(model).values()) if isinstance(part, nn.Module)]
    parameters = {
        id(parameter): nn.Parameter(parameter.to("meta")) for network in networks for parameter in network.parameters()
    }
    buffers = {id(buffer): buffer.to("meta") for network in networks for buffer in network.buffers()}
    return copy.deepcopy(model, {**parameters, **buffers})


def _counted(model: SRModel | StochasticSRModel, temperature: float | None, device: str, lr: tuple[int, int]) -> float:
    return counted(model, lr, temperature, device, _AS_FVCORE)[0] / 2


def milliseconds(model: SRModel | StochasticSRModel, temperature: float | None, device: str, size: Size) -> float:
    """Return the median time of five outputs after a warm-up, or of fewer if they take more than 10 s."""

    def elapsed() -> float:
        _finish(device)
        start = time.perf_counter()
        upscale_probe(model, size.of_lr(model.scale), temperature, device)
        _finish(device)
        return time.perf_counter() - start

    def median() -> float:
        elapsed()
        times = [elapsed()]
        while len(times) < _RUNS and sum(times) < _MOST_SECONDS:
            times.append(elapsed())
        return 1e3 * statistics.median(times)

    return once(model, ("milliseconds", temperature, device, size), median)


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


class MultiplyAdds(CostMetric):
    """Multiply-adds of one output in billions, by fvcore's convention."""

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
                "convolutions and products of matrices, attention included; other operations count per element: "
                "normalisation 5 (4 without affine parameters; 2 and 1 with fixed batch statistics), nearest upscaling "
                "and pooling to a fixed size 1, bilinear upscaling and sampling 4; bias, activations and sums are not "
                "counted"
            ),
        )

    def _of(self, model_call: ModelCall, model: SRModel | StochasticSRModel) -> float:
        return multiply_adds(model, model_call.temperature, model_call.device, self._size) / 1e9


class Runtime(CostMetric):
    """Runtime in milliseconds for one output of a stated size."""

    is_time = True
    """True for values that cannot be reproduced on another machine."""

    def __init__(self, lr: str | int = "256x256", out: str | int = "") -> None:
        self._size = Size.read(lr, out)
        self.facts = replace(
            FACTS,
            name="runtime",
            title="runtime, ms",
            unit="ms",
            signature=f"{self._size}|v1",
            protocol=(
                f"wall-clock time of the model for {self._size.sentence} on the machine of the run, median of five "
                "after a warm-up; on a CPU with the threads of the process"
            ),
        )

    def _of(self, model_call: ModelCall, model: SRModel | StochasticSRModel) -> float:
        return milliseconds(model, model_call.temperature, model_call.device, self._size)


class _Score(CostMetric):
    """Score of the main track of a challenge, relative to the runtime of its baseline on this machine."""

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
        """Return the score, given the runtime relative to the baseline, 10^9 multiply-adds and 10^6 parameters.

        Lower is better; the baseline scores e^2 = 7.3891.
        """
        shares = torch.tensor(
            [runtime, multiply_adds / cls.multiply_adds, parameters / cls.parameters], dtype=torch.float64
        )
        rest = (1 - cls.weight) / 2
        return float(torch.exp(2 * shares) @ shares.new_tensor([cls.weight, rest, rest]))

    def _of(self, model_call: ModelCall, model: SRModel | StochasticSRModel) -> float:
        runtime = milliseconds(model, model_call.temperature, model_call.device, self._size)
        counted = multiply_adds(model, model_call.temperature, model_call.device, self._size)
        return self.score(runtime / self._runtime, counted / 1e9, parameters_of(model) / 1e6)


class NTIRE25ESR(_Score):
    """Score of the NTIRE 2025 challenge on efficient super-resolution."""

    year, baseline, weight = 25, "EFDN", 0.7
    multiply_adds, parameters = 16.703470848, 0.276192


class NTIRE26ESR(_Score):
    """Score of the NTIRE 2026 challenge on efficient super-resolution."""

    year, baseline, weight = 26, "SPAN", 0.8
    multiply_adds, parameters = 9.833807872, 0.150688
