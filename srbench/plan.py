"""A command line -> RunSpec -> everything it names, opened -> the work items, in order.

An item is keyed by a hash of all that determines its values. Items are ordered picture by picture, so that whatever
a metric computes of an HR picture serves all models.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from srbench.datasets import Folder, Limited, PairedFolders, cropped
from srbench.inference import choose_device, is_stochastic
from srbench.names import unknown
from srbench.registry import RESERVED, LoadedModel, load_dataset, load_metric, load_model, registered
from srbench.results import COLUMNS, setting_folder
from srbench.types import Dataset, Metric, PrecomputedResults, SRBenchError

SUITE = "srflow@1"
"""Name and version of the protocol. The version rises when any of its numbers would change."""


class PlanError(SRBenchError):
    """A run that cannot be planned."""


@dataclass(frozen=True)
class RunSpec:
    """What to measure: the command line, as a value."""

    models: tuple[str, ...]
    scale: int
    data: str | None = "photos"
    """A registered data set or a folder of HR pictures; None where ``hr`` and ``lr`` are given."""
    hr: str | None = None
    lr: str | None = None
    limit: int | None = None
    crop: int | None = None
    metrics: tuple[str, ...] = COLUMNS
    temperatures: tuple[float, ...] = (0.8,)
    samples: int = 5
    seed: int = 0
    device: str = "auto"
    tile: int | None = None
    out: str | None = None

    def facts(self) -> dict[str, Any]:
        """As JSON holds it, without the folder, which does not change what is measured."""
        facts: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        del facts["out"]
        return facts

    def command(self) -> str:
        """The command that makes this run; options that have their defaults are left out."""
        words = ["srbench", "run"]
        default = RunSpec(models=(), scale=0)
        for name, value in asdict(self).items():
            if value == getattr(default, name) or value is None:
                continue
            option = "temperature" if name == "temperatures" else name
            words += [f"--{option}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return shlex.join(words)


@dataclass(frozen=True)
class WorkItem:
    """One model, one picture, one temperature."""

    model: str
    model_digest: str
    dataset: str
    image: str
    image_digest: str
    scale: int
    temperature: float | None
    samples: int
    seed: int
    tile: int | None
    metrics: tuple[str, ...]
    suite: str = SUITE

    @property
    def key(self) -> str:
        """sha256 of all of the above."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def generator_seed(self) -> int:
        """What the random generator of the item starts from: the key, but for what cannot change a sample.

        So a model draws the same pictures under another label, with other metrics, and in tiles.
        """
        key = replace(self, model="", dataset="", image="", metrics=(), suite="", tile=None).key
        return int(key[:15], 16)

    @property
    def setting(self) -> str:
        """Model and temperature, fit for a file name: ``srflow-t0.8``."""
        return setting_folder(self.model, self.temperature)


@dataclass(frozen=True)
class Bench:
    """All that a RunSpec names, opened."""

    spec: RunSpec
    device: str
    dataset: Dataset
    models: dict[str, LoadedModel]
    metrics: tuple[Metric, ...]


def open_bench(spec: RunSpec) -> Bench:
    """Open data set, metrics and models, in this order. Raises SRBenchError for the first that fails."""
    device = choose_device(spec.device)
    dataset = _open_dataset(spec)
    metrics = tuple(load_metric(name) for name in spec.metrics)
    models: dict[str, LoadedModel] = {}
    for text in spec.models:
        loaded = load_model(text, spec.scale, device)
        if loaded.label in models or loaded.label in RESERVED:
            reason = "reserved" if loaded.label in RESERVED else f"also that of {models[loaded.label].spec}"
            raise PlanError(f"{text}: the label {loaded.label} is {reason}; choose another: LABEL={text}")
        models[loaded.label] = loaded
    return Bench(spec, device, dataset, models, metrics)


def plan(bench: Bench) -> tuple[list[WorkItem], list[str]]:
    """The items in the order in which they are measured, and a line for every one that cannot be."""
    items: list[WorkItem] = []
    failures = []
    for image in bench.dataset:
        try:
            digest = bench.dataset.digest(image)
        except SRBenchError as error:
            failures.append(str(error))
            continue
        for loaded in bench.models.values():
            try:
                items += _items(bench, loaded, image, digest)
            except SRBenchError as error:
                failures.append(f"{loaded.label}: {error}")
    return items, failures


def _items(bench: Bench, loaded: LoadedModel, image: str, image_digest: str) -> list[WorkItem]:
    spec, stochastic = bench.spec, is_stochastic(loaded.model)
    precomputed = loaded.model.digest(image) if isinstance(loaded.model, PrecomputedResults) else ""
    return [
        WorkItem(
            model=loaded.label,
            model_digest=loaded.digest + precomputed,
            dataset=bench.dataset.name,
            image=image,
            image_digest=image_digest,
            scale=spec.scale,
            temperature=temperature,
            samples=spec.samples if stochastic else 1,
            seed=spec.seed,
            tile=spec.tile,
            metrics=tuple(metric.name for metric in bench.metrics),
        )
        for temperature in (spec.temperatures if stochastic else (None,))
    ]


def _open_dataset(spec: RunSpec) -> Dataset:
    dataset: Dataset
    if spec.hr is not None and spec.lr is not None:
        dataset = PairedFolders(Path(spec.hr), Path(spec.lr), spec.scale)
    elif spec.data in registered("datasets"):
        dataset = load_dataset(spec.data, spec.scale)
    elif spec.data is not None and Path(spec.data).exists():
        dataset = Folder(Path(spec.data), spec.scale)
    else:
        raise PlanError(f"{unknown('dataset', str(spec.data), registered('datasets'))}; or name a folder of pictures")
    if spec.crop is not None:
        dataset = cropped(dataset, spec.scale, spec.crop)
    return dataset if spec.limit is None else Limited(dataset, spec.limit)
