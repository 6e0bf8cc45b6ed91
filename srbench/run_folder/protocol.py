"""The content of a manifest: protocol, models, metrics, settings and invocations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from srbench.interfaces import MetricInfo, Need
from srbench.metrics.suite import read_suite, suite_names
from srbench.models import ModelInfo
from srbench.run_folder.limits import SUITE, Average, parse_shard
from srbench.run_folder.request import GROUPS, IMAGES, Count, RunSpec
from srbench.words import listed, number_of

FORMAT = 7
"""Version of the format of run folders."""
KEPT = 5
"""Number of samples per image that are saved as files, unless a suite states more; all samples are measured."""
RESERVED = ("hr", "lr")
"""Labels that no model may have, because folders of images use them."""


@dataclass(frozen=True)
class Protocol:
    """The protocol of a run. A run folder has exactly one."""

    suite: str
    """Name and version: ``srflow@1``."""
    dataset: str
    lr: str
    """Origin of the LR images, in words."""
    scale: Count
    crop: int | None
    """Side of the central crop of HR in pixels; None: whole images."""
    samples: Count
    seed: int
    tile: int | None
    """Side of the tiles in LR pixels; None: images are upscaled whole."""
    quantize: str = "floor"
    """How outputs are quantised to 8 bits: ``floor`` or ``round``."""
    columns: tuple[str, ...] = field(default_factory=lambda: read_suite(SUITE).columns)
    """Metrics of the suite with their parameters, measured or not; by default those of the default suite."""
    kept: Count = KEPT
    """Number of samples per image that are saved as files."""
    average: Average = IMAGES
    """What means, intervals and tests are over: ``images``, or ``groups``, whose images are averaged first."""

    def task(self, factor: str) -> str:
        """What the models do: ``Super-resolution 4x``, given ``4x``, or ``Restoration`` at scale 1."""
        return f"{tasks([self.scale])} {factor}" if self.scale > 1 else tasks([self.scale])

    @property
    def lr_title(self) -> str:
        """Title of the LR images: ``LR``, or ``input`` at scale 1, where they are as large as HR."""
        return "LR" if self.scale > 1 else "input"

    @property
    def lacking(self) -> tuple[Need, ...]:
        """What metrics may need and the protocol excludes."""
        samples: tuple[Need, ...] = ("samples",) if self.samples == 1 else ()
        return samples if self.scale > 1 else (*samples, "downscaling")


@dataclass(frozen=True)
class Setting:
    """A model at one temperature: a row of the table."""

    model: str
    temperature: float | None
    """None for a model with a single output."""

    @property
    def folder(self) -> str:
        """Name of the folder of its images, such as ``srflow-t0.8``; the label for a model without temperature."""
        return self.model if self.temperature is None else f"{self.model}-t{exactly(self.temperature)}"

    @property
    def label(self) -> str:
        """Name in tables, such as ``srflow τ=0.8``; the label for a model without temperature."""
        return self.model if self.temperature is None else f"{self.model} τ={exactly(self.temperature)}"


def drawn_settings(request: RunSpec, model: ModelInfo) -> list[Setting]:
    """Return the settings of a model that samples: at the requested temperatures, by default at its own."""
    temperatures = [model.temperature] if request.temperature is None else sorted(request.temperature)
    return [Setting(model.label, temperature) for temperature in temperatures]


@dataclass(frozen=True)
class Invocation:
    """A command, or a call from Python, that sampled or measured."""

    command: str
    settings: tuple[Setting, ...]
    images: tuple[str, ...]
    metrics: tuple[str, ...]
    """Metrics that it measured for all samples without them, including samples of earlier commands;
    in a shard, of images alone.
    """
    started: str
    finished: str | None
    """None while the command runs, and after a kill."""
    device: str
    software: dict[str, str]
    hardware: dict[str, str]
    request: RunSpec | None = None
    """The request, with absolute paths; None for ``score``, and for a dataset passed as an object."""
    checkpoints: tuple[str, ...] = ()
    """Labels of the models that a pattern requested, as checkpoints of a training."""

    def covers(self, other: Invocation) -> bool:
        """Return whether this command requests all settings, images and metrics of another."""
        return (
            set(self.settings) >= set(other.settings)
            and set(self.images) >= set(other.images)
            and set(self.metrics) >= set(other.metrics)
        )


@dataclass(frozen=True)
class Manifest:
    """Content of ``manifest.json``."""

    format: int
    protocol: Protocol
    images: tuple[str, ...]
    """Names of all images of the dataset, in its order."""
    metrics: tuple[MetricInfo, ...]
    models: tuple[ModelInfo, ...]
    settings: tuple[Setting, ...]
    invocations: tuple[Invocation, ...]
    groups: dict[str, str] = field(default_factory=dict)
    """Group of every image that is in one, such as a clip, by name of the image."""

    @property
    def extent(self) -> str:
        """The number of images that any command requested: ``60 images in 6 groups``."""
        return self.extent_of(self.scope)

    def extent_of(self, images: Sequence[str]) -> str:
        """Return the number of some images, and of their groups if they are in some."""
        number = number_of(len(images), "image")
        groups = {self.groups[image] for image in images if image in self.groups}
        return f"{number} in {number_of(len(groups), 'group')}" if groups else number

    @property
    def unit_of(self) -> dict[str, str]:
        """Group of every image, by its name, if means are over groups; empty if they are over images."""
        return self.groups if self.protocol.average == GROUPS else {}

    @property
    def ungrouped(self) -> dict[str, str]:
        """Group of every image in one, if means are over images all the same."""
        return {} if self.protocol.average == GROUPS else self.groups

    @cached_property
    def of_images(self) -> tuple[MetricInfo, ...]:
        """Metrics with a value for each image."""
        return tuple(metric for metric in self.metrics if metric.is_of_images)

    @cached_property
    def of_many(self) -> tuple[MetricInfo, ...]:
        """All other metrics: of groups of images, of all images together, and of the model."""
        return tuple(metric for metric in self.metrics if not metric.is_of_images)

    def model(self, label: str) -> ModelInfo:
        """Return the model with a label. Raises KeyError."""
        return {model.label: model for model in self.models}[label]

    def metric(self, name: str) -> MetricInfo:
        """Return the metric with a name. Raises KeyError."""
        return {metric.name: metric for metric in self.metrics}[name]

    def unfinished(self) -> list[Invocation]:
        """Return the commands that did not finish, unless a later command that covers them did."""
        return [
            invocation
            for number, invocation in enumerate(self.invocations)
            if invocation.finished is None
            and not any(later.finished and later.covers(invocation) for later in self.invocations[number:])
        ]

    @cached_property
    def scope(self) -> tuple[str, ...]:
        """Images that any command requested, in the order of the dataset."""
        return self._in_order(image for call in self.invocations if call.settings for image in call.images)

    def planned(self, setting: Setting) -> tuple[str, ...]:
        """Return the images requested of a setting, in the order of the dataset."""
        return self._in_order(image for call in self.invocations if setting in call.settings for image in call.images)

    @cached_property
    def missing_shards(self) -> str:
        """Phrase on shards of the requests of which no command of the run processed all images;
        empty if there are none.
        """
        requests = dict.fromkeys(
            (setting, call.request.limit, parse_shard(call.request.shard)[1])
            for call in self.invocations
            if call.request is not None and call.request.shard is not None
            for setting in call.settings
        )
        requested: set[str] = set()
        missing: dict[str, tuple[int, int]] = {}
        for setting, limit, parts in requests:
            images = self.images[:limit]
            planned = set(self.planned(setting))
            requested.update(images)
            missing |= {image: (index % parts + 1, parts) for index, image in enumerate(images) if image not in planned}
        if not missing:
            return ""
        shards = [f"{number}/{parts}" for number, parts in sorted(set(missing.values()))]
        of_shards = f"shard{'s' if len(shards) > 1 else ''} {listed(shards, most=20)}"
        return f"results of {of_shards} are missing, for {len(missing)} of {number_of(len(requested), 'image')}"

    def _in_order(self, images: Iterable[str]) -> tuple[str, ...]:
        wanted = set(images)
        return tuple(image for image in self.images if image in wanted)


def tasks(scales: Iterable[int]) -> str:
    """Return what models do at some scales: ``Super-resolution``, ``Restoration`` at scale 1, or both."""
    names = {"Super-resolution" if scale > 1 else "Restoration" for scale in scales}
    return " and ".join(sorted(names, reverse=True)).capitalize()


def protocol_line(label: str, metrics: Sequence[MetricInfo], units: str = IMAGES) -> str:
    """Describe the protocol of a table in one line: the words of its suite, or else the signatures of its columns.

    ``units`` are what means are over, as in ``Values``. The number of samples is that of a column's signature
    (``|n10``).
    """
    means = "" if units == IMAGES else f" Means are over {units}, whose images are averaged first."
    name = label.partition("@")[0]
    suite = read_suite(name) if name in suite_names() else None
    if suite is None or suite.label != label or not {metric.spec for metric in metrics} <= {*suite.columns}:
        return f"Protocol {label}: {', '.join(metric.signature for metric in metrics)}.{means}"
    classic = ""
    if name == SUITE and any(metric.name in ("psnr", "ssim") for metric in metrics):
        classic = " Papers of classic SR print PSNR and SSIM on Y without a border: --suite classic-y."
    counts = {part[1:] for metric in metrics for part in metric.signature.split("|") if re.fullmatch(r"n[\d-]+", part)}
    samples = f"; {' or '.join(sorted(counts))} samples per image" if counts else ""
    return f"Protocol {label}, {suite.about}{samples}.{means}{classic}"


def exactly(number: float) -> str:
    """Format a number with all digits, so that no two temperatures share a name: ``0.8``, ``1``, ``0.8000001``."""
    return repr(float(number)).removesuffix(".0")
