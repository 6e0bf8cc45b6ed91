"""Validation during training: metrics on a few images, and a grid of outputs to look at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from srbench.images.io import quantize_round
from srbench.interfaces import TEMPERATURE, ImageMetric, ImagePair, SRBenchError, StochasticSRModel
from srbench.machine.precision import products
from srbench.training import TrainingError
from srbench.training.folder import SavedState
from srbench.words import unknown

MAX_IMAGES = 8
"""Largest number of validation images."""
SIDE = 256
"""Largest side of a validation image in HR pixels."""
SHOWN_TEMPERATURES = (0.5, TEMPERATURE, 1.0)
_ROWS = 4
LABEL = 18
"""Height of the labels in pixels."""


class Validation:
    """Metrics on the same images and latents at every call; ``best`` names the metric that selects the best weights.

    Stochastic networks draw ``samples`` at ``temperature``. Raises TrainingError if there are metrics but ``best`` is
    not among them.
    """

    def __init__(
        self,
        pairs: Sequence[ImagePair],
        metrics: Iterable[ImageMetric],
        best: str,
        *,
        temperature: float = TEMPERATURE,
        samples: int = 1,
    ) -> None:
        self.pairs = pairs
        self.temperature = temperature
        self.samples = samples
        self.metrics = {metric.info.name: metric for metric in metrics if samples > 1 or metric.info.per == "sample"}
        if self.metrics and best not in self.metrics:
            raise TrainingError(f"training.select_by: {unknown('metric', best, self.metrics)}")
        self._best = best

    @property
    def best(self) -> ImageMetric:
        """The metric that selects the best weights."""
        return self.metrics[self._best]

    def require_working_metrics(self) -> None:
        """Measure an image as large as validation images may be with every metric.

        Raises TrainingError, which names a metric without a value, for instance because its weights file is missing.
        """
        scale = self.pairs[0].scale
        lr = torch.rand(3, SIDE // scale, SIDE // scale, generator=torch.Generator().manual_seed(0))
        hr = F.interpolate(lr[None], scale_factor=scale)
        for metric in self.metrics.values():
            try:
                metric(hr, ImagePair("noise", lr, hr[0]))
            except (SRBenchError, OSError) as error:
                raise TrainingError(f"validation by {metric.info.title}: {error}") from error

    def measure(self, network: torch.nn.Module) -> dict[str, float]:
        """Mean of every metric over the images, and over samples; NaN if an image has no value."""
        values: dict[str, list[float]] = {name: [] for name in self.metrics}
        for pair in self.pairs:
            outputs = _upscaled(network, pair, self.temperature, self.samples)
            for name, metric in self.metrics.items():
                values[name].append(math.nan)
                if outputs.isfinite().all():
                    with suppress(SRBenchError):  # the image is too small: the metric works on larger images
                        value = metric(outputs.clone(), pair.copied())
                        values[name][-1] = math.nan if value is None else float(value.mean())
        return {name: fmean(numbers) for name, numbers in values.items() if numbers}

    @property
    def units(self) -> dict[str, str]:
        """Units of the metrics by name; the title of a metric without a unit."""
        return {name: metric.info.unit or metric.info.title for name, metric in self.metrics.items()}

    def grid(self, network: torch.nn.Module) -> Tensor:
        """Draw labels and a row per image: LR, output (or samples at increasing temperatures), HR; (3, H, W) uint8."""
        samples = isinstance(network, StochasticSRModel)
        temperatures = (0.0, *SHOWN_TEMPERATURES) if samples else (0.0,)
        titles = ["LR", *(f"temperature {value:g}" if samples else "output" for value in temperatures), "HR"]
        side = min(min(pair.hr.shape[-2:]) for pair in self.pairs[:_ROWS])
        rows = []
        for pair in self.pairs[:_ROWS]:
            shown = [F.interpolate(pair.lr[None], size=pair.hr.shape[-2:])[0]]
            shown += [_upscaled(network, pair, temperature)[0].nan_to_num(0.0) for temperature in temperatures]
            rows.append(torch.cat([image[:, :side, :side] for image in (*shown, pair.hr)], 2))
        return torch.cat([_labels(titles, side), quantize_round(torch.cat(rows, 1))], 1)


@dataclass
class BestValidation(SavedState):
    """Metrics of the best and of the last validation, and the step of the last."""

    step: int = 0
    last: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def record(self, metrics: dict[str, float], by: ImageMetric) -> bool:
        """Record a validation; return whether it is the best so far by the metric ``by`` (NaN never is)."""
        self.last = metrics
        value = metrics[by.info.name]
        before = self.metrics.get(by.info.name, math.nan)
        better = by.info.direction * (value - before) > 0
        if math.isnan(value) or not (better or math.isnan(before)):
            return False
        self.metrics = metrics
        return True


@torch.no_grad()
def _upscaled(network: torch.nn.Module, pair: ImagePair, temperature: float, samples: int = 1) -> Tensor:
    """Output or samples of a network, (n, 3, H, W) on the CPU; all NaN if the network fails or overflows."""
    training = network.training
    network.eval()
    lr = pair.lr.to(next(network.parameters(), pair.lr).device, copy=True)
    try:
        with products(lr.device, tf32=False):  # as in ``upscale``
            if isinstance(network, StochasticSRModel):
                generator = torch.Generator().manual_seed(0)
                outputs = network.sample(lr, samples, temperature=temperature, generator=generator)
            else:
                outputs = network(lr[None])
    except SRBenchError:  # the network has not learnt enough yet
        return torch.full_like(pair.hr[None], math.nan)
    finally:
        network.train(training)
    images = torch.as_tensor(outputs).to("cpu", torch.float32)
    return images if images.isfinite().all() else torch.full_like(pair.hr[None], math.nan)


def _labels(titles: Sequence[str], width: int) -> Tensor:
    """Draw titles above columns, black on white and clipped to fit; (3, LABEL, len(titles) * width) uint8."""
    columns = []
    for title in titles:
        column = Image.new("RGB", (width, LABEL), "white")
        ImageDraw.Draw(column).text((2, 2), title, fill="black", font=ImageFont.load_default(12))
        columns.append(np.asarray(column))
    return torch.from_numpy(np.concatenate(columns, 1)).permute(2, 0, 1)
