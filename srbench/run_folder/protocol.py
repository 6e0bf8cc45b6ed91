"""Facts behind a table, as typed values: protocol, models, metrics, invocations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from srbench.interfaces import MetricFacts
from srbench.metrics.suite import read_suite, suite_names
from srbench.models import ModelFacts
from srbench.run_folder.request import SUITE, RunSpec

FORMAT = 4
"""Format of the run folders that are written and read."""
KEPT = 5
"""Number of samples of an image that are kept as files unless a suite states more; all are measured."""
RESERVED = ("hr", "lr")
"""Labels that no model may have: the folders of the pairs."""


@dataclass(frozen=True)
class Protocol:
    """Protocol of a run. A folder holds exactly one: results of another protocol need another folder."""

    suite: str
    """Name and version: ``srflow@1``."""
    dataset: str
    lr: str
    """Origin of its LR images, in words."""
    scale: int
    crop: int | None
    """Side of the central crop of HR in pixels; None: whole images."""
    samples: int
    seed: int
    tile: int | None
    """Side of the tiles in LR pixels; None: images are upscaled whole."""
    quantize: str = "floor"
    """Conversion of outputs to 8-bit images: ``floor`` or ``round``."""
    columns: tuple[str, ...] = field(default_factory=lambda: read_suite(SUITE).columns)
    """Metrics of the suite with their parameters, measured or not; a folder that names none is of the default suite."""
    kept: int = KEPT
    """Number of samples of an image that are kept as files."""


@dataclass(frozen=True)
class Setting:
    """A model at one temperature: a line of the table."""

    model: str
    temperature: float | None
    """None for a model with one output."""

    @property
    def folder(self) -> str:
        """Name of the folder of its images, ``srflow-t0.8``; the label of the model alone without temperature."""
        return self.model if self.temperature is None else f"{self.model}-t{exactly(self.temperature)}"

    @property
    def label(self) -> str:
        """Name for a reader, ``srflow τ=0.8``; the label of the model alone without temperature."""
        return self.model if self.temperature is None else f"{self.model} τ={exactly(self.temperature)}"


@dataclass(frozen=True)
class Invocation:
    """One command, or one call of the library, that measured something."""

    command: str
    settings: tuple[Setting, ...]
    images: tuple[str, ...]
    metrics: tuple[str, ...]
    """Metrics it measured wherever the folder lacked them, whoever had asked for the samples."""
    started: str
    finished: str | None
    """None while it works, and after a kill."""
    device: str
    software: dict[str, str]
    hardware: dict[str, str]
    request: RunSpec | None = None
    """The request as data, folders as absolute paths; None for ``score``, and for a dataset given as an object."""


@dataclass(frozen=True)
class Manifest:
    """Content of ``manifest.json``: all that a run folder holds, except the values."""

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
        return {model.label: model for model in self.models}[label]

    def metric(self, name: str) -> MetricFacts:
        """The metric of a name. Raises KeyError."""
        return {metric.name: metric for metric in self.metrics}[name]

    @cached_property
    def scope(self) -> tuple[str, ...]:
        """Images that any command asked for, in the order of the dataset."""
        return self._in_order(image for one in self.invocations if one.settings for image in one.images)

    def planned(self, setting: Setting) -> tuple[str, ...]:
        """Images that a setting was asked for, in the order of the dataset."""
        return self._in_order(image for one in self.invocations if setting in one.settings for image in one.images)

    def _in_order(self, images: Iterable[str]) -> tuple[str, ...]:
        wanted = set(images)
        return tuple(image for image in self.images if image in wanted)


def protocol_line(label: str, metrics: Sequence[MetricFacts]) -> str:
    """The protocol of a table in one line: what its suite says about itself, or the signatures of other columns."""
    name = label.partition("@")[0]
    suite = read_suite(name) if name in suite_names() else None
    if suite is None or suite.label != label or not {metric.spec for metric in metrics} <= {*suite.columns}:
        return f"Protocol {label}: {', '.join(metric.signature for metric in metrics)}."
    classic = ""
    if name == SUITE and any(metric.name in ("psnr", "ssim") for metric in metrics):
        classic = " Papers of classic SR print PSNR and SSIM on Y without a border: --suite classic-y."
    return f"Protocol {label}, {suite.about}.{classic}"


def exactly(number: float) -> str:
    """All digits of a number, so that different temperatures never share a name: ``0.8``, ``1``, ``0.8000001``."""
    return repr(float(number)).removesuffix(".0")
