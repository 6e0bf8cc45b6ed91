"""How good the network is at the moment: metrics on a few images, and an image to look at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from srbench.images.io import quantize_round
from srbench.interfaces import ImagePair, Metric, SRBenchError, StochasticSRModel
from srbench.system.file_names import unknown
from srbench.training import TrainingError

MOST, SIDE = 8, 256
"""Images that are validated on, and their side at most, in HR pixels."""
TEMPERATURE = 0.8
"""Of the samples that are measured: that of ``srbench run``."""
SHOWN_TEMPERATURES = (0.5, 0.8, 1.0)
_SHOWN = 4
LABEL = 18
"""Height in pixels of the labels above the validation images."""


class Validation:
    """Metrics on the same images, of the same latents, whenever it is called."""

    def __init__(self, pairs: Sequence[ImagePair], metrics: Iterable[Metric]) -> None:
        self.pairs, self.metrics = pairs, {metric.name: metric for metric in metrics}

    def measure(self, network: torch.nn.Module, device: torch.device) -> dict[str, float]:
        """The mean of every metric over the images; NaN where an image gives none.

        Of a network that samples, one sample per image is measured.
        """
        values: dict[str, list[float]] = {name: [] for name in self.metrics}
        for pair in self.pairs:
            try:
                output = upscaled(network, pair, TEMPERATURE, device)
            except SRBenchError:  # of a network that has not learnt yet
                output = torch.full_like(pair.hr, math.nan)
            for name, metric in self.metrics.items():
                values[name].append(_value(metric, output, pair))
        return {name: fmean(each) for name, each in values.items() if each}

    def metric(self, name: str) -> Metric:
        """Raises TrainingError for one that is not measured."""
        if name not in self.metrics:
            raise TrainingError(f"training.best: {unknown('metric', name, self.metrics)}")
        return self.metrics[name]

    def grid(self, network: torch.nn.Module, device: torch.device) -> Tensor:
        """(3, H, W) uint8: a row per image with LR, output at temperature 0, samples and HR, under a line of labels.

        A network that does not sample has one output.
        """
        samples = isinstance(network, StochasticSRModel)
        temperatures = (0.0, *SHOWN_TEMPERATURES) if samples else (0.0,)
        titles = ["LR", *(f"temperature {one:g}" if samples else "output" for one in temperatures), "HR"]
        side = min(min(pair.hr.shape[-2:]) for pair in self.pairs[:_SHOWN])
        rows = []
        for pair in self.pairs[:_SHOWN]:
            shown = [F.interpolate(pair.lr[None], size=pair.hr.shape[-2:])[0]]
            for temperature in temperatures:
                try:
                    shown.append(upscaled(network, pair, temperature, device))
                except SRBenchError:
                    shown.append(torch.zeros_like(pair.hr))
            rows.append(torch.cat([image[:, :side, :side] for image in (*shown, pair.hr)], 2))
        return torch.cat([_labels(titles, side), quantize_round(torch.cat(rows, 1))], 1)


class Best:
    """The last metrics, and those when one of them was best, with their step."""

    def __init__(self) -> None:
        self.step = 0
        self.last: dict[str, float] = {}
        self.metrics: dict[str, float] = {}

    def see(self, step: int, metrics: dict[str, float], by: Metric) -> bool:
        """Whether these are the best metrics so far. NaN never is."""
        self.last = metrics
        value, before = metrics[by.name], self.metrics.get(by.name, math.nan)
        better = value > before if by.higher_is_better else value < before
        if math.isnan(value) or not (better or math.isnan(before)):
            return False
        self.step, self.metrics = step, metrics
        return True

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return {"step": self.step, "last": self.last, "metrics": self.metrics}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Restore it."""
        self.step, self.last, self.metrics = state["step"], state["last"], state["metrics"]


@torch.no_grad()
def upscaled(network: torch.nn.Module, pair: ImagePair, temperature: float, device: torch.device) -> Tensor:
    """(3, H, W), on the CPU: the output of a network, or a sample of one that samples.

    Raises SRBenchError where it gives numbers that are not finite.
    """
    training = network.training
    network.eval()
    try:
        lr = pair.lr.to(device)
        if isinstance(network, StochasticSRModel):
            generator = torch.Generator().manual_seed(0)
            [output] = network.sample(lr, 1, temperature=temperature, generator=generator)
        else:
            [output] = network(lr[None])
    finally:
        network.train(training)
    if not output.isfinite().all():
        raise SRBenchError(f"{pair.name}: numbers that are not finite")
    return torch.as_tensor(output).to("cpu", torch.float32)


def _labels(titles: Sequence[str], width: int) -> Tensor:
    """(3, LABEL, len(titles) * width) uint8: each title over its column, black on white, cut to fit."""
    columns = []
    for title in titles:
        column = Image.new("RGB", (width, LABEL), "white")
        ImageDraw.Draw(column).text((2, 2), title, fill="black", font=ImageFont.load_default(12))
        columns.append(np.asarray(column))
    return torch.from_numpy(np.concatenate(columns, 1)).permute(2, 0, 1)


def _value(metric: Metric, output: Tensor, pair: ImagePair) -> float:
    if not output.isfinite().all():
        return math.nan
    try:
        return float(metric(output[None], pair).mean())
    except SRBenchError:  # an image too small for this metric
        return math.nan
