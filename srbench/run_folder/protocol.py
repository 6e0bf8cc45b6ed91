"""What has to be known to believe a table, as typed values: protocol, models, metrics, invocations."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from srbench.interfaces import MetricFacts, WeightsInfo

FORMAT = 2
"""Of a run folder. A folder of another format is not read."""


RESERVED = ("hr", "lr")
"""Labels that no model may have: the folders of the pairs."""


COLUMNS = ("psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique", "sigma")
"""Of the suite ``srflow``, which a folder that names no columns was measured by."""


@dataclass(frozen=True)
class Protocol:
    """What a run folder holds exactly one of. Results of another protocol need another folder."""

    suite: str
    """Name and version: ``srflow@1``."""
    dataset: str
    """Name of the dataset."""
    lr: str
    """Where its LR images come from, in words."""
    scale: int
    crop: int | None
    """Side of the central crop of HR in pixels; None: whole images."""
    samples: int
    """Samples per image."""
    seed: int
    tile: int | None
    """Side of the tiles that images were upscaled in, in LR pixels; None: at once."""
    quantize: str = "floor"
    """How outputs became 8-bit images: ``floor`` or ``round``."""
    columns: tuple[str, ...] = COLUMNS
    """The metrics of the suite, with their parameters, whether or not they are measured."""

    def place(self, spec: str) -> int:
        """By which metrics are sorted: those of the suite first, others after them in the order of their coming."""
        return self.columns.index(spec) if spec in self.columns else len(self.columns)


@dataclass(frozen=True)
class ModelFacts:
    """A model of the table, by its label."""

    label: str
    spec: str
    """How the user named it."""
    digest: str
    """sha256 of its code, its weights and how it was made of them."""
    projected: bool
    """Are its outputs projected onto the images that downscale to LR?"""
    weights: WeightsInfo | None


@dataclass(frozen=True)
class Setting:
    """A model at one temperature, and on how many images it was asked for: a line of the table."""

    model: str
    temperature: float | None
    """None for a model with one output."""
    limit: int | None
    """The first images of the dataset; None: all."""


@dataclass(frozen=True)
class Shard:
    """A part of a run that another command, here or elsewhere, does the rest of: every ``of``-th image."""

    number: int
    """From 1 to ``of``."""
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(f"{self} is no shard; write 1/4 to 4/4 for a run in four parts")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``2/8`` -> the second of eight. Raises ValueError that says what is wrong."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if found is None:
            raise ValueError(f"{text!r} is no shard; write 1/4 to 4/4 for a run in four parts")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        """As it is typed."""
        return f"{self.number}/{self.of}"

    def part(self, images: Sequence[str]) -> tuple[str, ...]:
        """Those of some images that it has."""
        return tuple(images[self.number - 1 :: self.of])


@dataclass(frozen=True)
class Invocation:
    """One command, or one call of the library, that measured something."""

    command: str
    settings: tuple[Setting, ...]
    """What it asked for."""
    metrics: tuple[str, ...]
    """Of which it measured all that the folder lacked, whoever had asked for the samples."""
    started: str
    finished: str | None
    """None while it works, or where it was killed."""
    device: str
    software: dict[str, str]
    hardware: dict[str, str]
    shard: Shard | None = None
    """The part of the images that it was asked for; None: all."""


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``: all that a run folder holds, but for the values."""

    format: int
    protocol: Protocol
    images: tuple[str, ...]
    """Names, in the order of the dataset."""
    metrics: tuple[MetricFacts, ...]
    models: tuple[ModelFacts, ...]
    settings: tuple[Setting, ...]
    invocations: tuple[Invocation, ...]

    def model(self, label: str) -> ModelFacts:
        """The model of a label. Raises KeyError."""
        for model in self.models:
            if model.label == label:
                return model
        raise KeyError(label)

    def metric(self, name: str) -> MetricFacts:
        """The metric of a name. Raises KeyError."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)

    @property
    def scope(self) -> tuple[str, ...]:
        """The images that any setting was asked for."""
        limits = [setting.limit for setting in self.settings]
        known = [limit for limit in limits if limit is not None]
        return self.images if len(known) < len(limits) else self.images[: max(known, default=0)]

    def planned(self, setting: Setting, shard: Shard | None = None) -> tuple[str, ...]:
        """The images that a setting was asked for, or those of them that a shard has."""
        images = self.images if setting.limit is None else self.images[: setting.limit]
        return images if shard is None else shard.part(images)


def setting_folder(model: str, temperature: float | None) -> str:
    """The folder of a model's images at a temperature: ``srflow-t0.8``; of a model with one output, its label."""
    return model if temperature is None else f"{model}-t{_short(temperature)}"


def setting_label(model: str, temperature: float | None) -> str:
    """The same for a reader: ``srflow τ=0.8``. A model without temperature (None, or NaN) has its label alone."""
    return model if temperature is None or math.isnan(temperature) else f"{model} τ={_short(temperature)}"


def _short(number: float) -> str:
    """All digits of a number, so that different temperatures never share a name: ``0.8``, ``1``, ``0.8000001``."""
    return repr(float(number)).removesuffix(".0")
