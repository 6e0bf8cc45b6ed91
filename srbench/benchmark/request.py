"""A command line -> RunSpec -> everything it names, opened: dataset, metrics, models."""

from __future__ import annotations

import math
import shlex
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from srbench.benchmark import BenchmarkError
from srbench.data.benchmark_sets.fetch import fetched_set
from srbench.data.benchmark_sets.table import benchmark_sets
from srbench.data.datasets import PairedFolders, cropped, lr_origin, open_folder
from srbench.data.degradations.read import DEFAULT as BICUBIC
from srbench.data.degradations.read import Degraded, read_degradation
from srbench.interfaces import LARGEST_SEED, SMALLEST_TILE, Dataset
from srbench.metrics.suite import DEFAULT, Suite, open_metrics, read_suite
from srbench.models.inference import choose_device, is_stochastic
from srbench.models.loading import LoadedModel, load_model
from srbench.models.precomputed import ResultFolder
from srbench.plugins.code_digest import package_digest
from srbench.plugins.registry import LoadedMetric, load_dataset, registered, source_digest
from srbench.run_folder.protocol import FORMAT, RESERVED, Manifest, ModelFacts, Protocol, Setting, Shard
from srbench.run_folder.records import digest
from srbench.system.file_names import FILE_NAME, is_file_name, unknown


@dataclass(frozen=True)
class RunSpec:
    """What to measure: the command line, as a value."""

    models: tuple[str, ...]
    scale: int
    data: str | None = "photos"
    """A registered dataset, a benchmark set or a folder of HR images; None where ``hr`` and ``lr`` are given."""
    hr: str | None = None
    lr: str | None = None
    limit: int | None = None
    crop: int | None = None
    degrade: str | None = None
    """How LR is made from HR: a degradation by its name, or a TOML file; None: as the dataset says."""
    suite: str = DEFAULT
    """A suite by its name, or a TOML file."""
    metrics: tuple[str, ...] | None = None
    """None: those of the suite."""
    temperatures: tuple[float, ...] = (0.8,)
    samples: int = 5
    seed: int = 0
    device: str = "auto"
    tile: int | None = None
    out: str | None = None
    shard: str | None = None
    """``2/8``: the second of eight parts of the images; None: all."""

    def command(self, spans: Mapping[str, tuple[object, ...]] | None = None) -> str:
        """The command that makes this run; options that have their defaults are left out.

        With ``spans``, several values of some options, that of the matrix of all.
        """
        words = ["srbench", "run"]
        default = RunSpec(models=(), scale=0)
        for name, value in (asdict(self) | dict(spans or {})).items():
            if value == getattr(default, name) or value is None:
                continue
            option = "temperature" if name == "temperatures" else name
            words += [f"--{option}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return shlex.join(words)


@dataclass(frozen=True)
class Bench:
    """All that a RunSpec names, opened."""

    spec: RunSpec
    device: str
    dataset: Dataset
    suite: Suite
    models: dict[str, LoadedModel]
    """By label."""
    metrics: tuple[LoadedMetric, ...]

    @property
    def shard(self) -> Shard | None:
        """The part of the images that is asked for; None: all."""
        return None if self.spec.shard is None else Shard.parse(self.spec.shard)

    @property
    def items(self) -> int:
        """Settings and images that are asked for."""
        asked = self.manifest()
        return sum(len(asked.planned(setting, self.shard)) for setting in asked.settings)

    def pair_key(self, image: str) -> str:
        """Of the pair of a name: the dataset's digest of it and the code that reads it.

        Raises what the dataset raises.
        """
        return digest("pair", self.dataset.digest(image), *self._codes)

    @cached_property
    def _codes(self) -> list[str]:
        return _codes(self.dataset)

    def manifest(self) -> Manifest:
        """What a fresh folder of this run would say."""
        spec = self.spec
        protocol = Protocol(
            suite=self.suite.label,
            dataset=self.dataset.name,
            lr=lr_origin(self.dataset),
            scale=spec.scale,
            crop=spec.crop,
            samples=spec.samples,
            seed=spec.seed,
            tile=spec.tile,
            quantize=self.suite.quantize,
            columns=self.suite.columns,
        )
        models = tuple(ModelFacts(m.label, m.spec, m.digest, m.projected, m.weights) for m in self.models.values())
        settings = tuple(
            Setting(loaded.label, temperature, spec.limit)
            for loaded in self.models.values()
            for temperature in (sorted(spec.temperatures) if is_stochastic(loaded.model) else (None,))
        )
        metrics = tuple(metric.facts for metric in self.metrics)
        return Manifest(FORMAT, protocol, tuple(self.dataset), metrics, models, settings, ())


def open_bench(spec: RunSpec) -> Bench:
    """Open suite, dataset, metrics and models, in this order. Raises SRBenchError for the first that fails."""
    device = choose_device(spec.device)
    suite = read_suite(spec.suite)
    dataset = open_dataset(spec)
    metrics = open_metrics(spec.metrics, suite.columns, suite.quantize, suite.optional)
    models: dict[str, LoadedModel] = {}
    for text in spec.models:
        loaded = load_model(text, spec.scale, device)
        add_model(models, loaded)
        _name_others(loaded, dataset)
    return Bench(spec, device, dataset, suite, models, metrics)


def _name_others(loaded: LoadedModel, dataset: Dataset) -> None:
    """Warn of results that belong to no image: they were perhaps meant for one of another name."""
    others = loaded.model.others(list(dataset)) if isinstance(loaded.model, ResultFolder) else []
    if others:
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        warnings.warn(
            f"{loaded.spec}: {shown} in it belong to no image of {dataset.name}, and are not measured", stacklevel=3
        )


def add_model(models: dict[str, LoadedModel], loaded: LoadedModel) -> None:
    """Put a model among others by its label. Raises BenchmarkError where the label is taken, reserved or too long."""
    reason = ""
    if loaded.label in models:
        reason = f"also that of {models[loaded.label].spec}"
    elif loaded.label.casefold() in RESERVED:
        reason = "reserved"
    elif not is_file_name(loaded.label):
        reason = "too long"
    if reason:
        raise BenchmarkError(f"{loaded.spec}: the label {loaded.label} is {reason}; give another: LABEL={loaded.spec}")
    models[loaded.label] = loaded


def checked(spec: RunSpec, where: str) -> RunSpec:
    """The spec itself. Raises BenchmarkError, beginning with ``where``, for a value with which nothing can be run."""
    for name, smallest in {"scale": 2, "limit": 1, "crop": 1, "samples": 1, "seed": 0, "tile": SMALLEST_TILE}.items():
        value = getattr(spec, name)
        if value is not None and not smallest <= value <= LARGEST_SEED:
            allowed = f"{smallest} or more" if value < smallest else f"at most {LARGEST_SEED}"
            raise BenchmarkError(f"{where}: {name} is {value}; it has to be {allowed}")
    for temperature in spec.temperatures:
        if not 0 <= temperature < math.inf:
            raise BenchmarkError(f"{where}: {temperature} is no temperature; it has to be 0 or more")
    if spec.device not in ("auto", "cpu", "cuda", "mps"):
        raise BenchmarkError(f"{where}: device is {spec.device!r}; choose auto, cpu, cuda or mps")
    _check_shard(spec, where)
    for name in ("metrics", "temperatures"):
        if getattr(spec, name) == ():
            raise BenchmarkError(f"{where}: {name} is empty; name at least one")
    return spec


def _check_shard(spec: RunSpec, where: str) -> None:
    if spec.shard is None:
        return
    try:
        Shard.parse(spec.shard)
    except ValueError as error:
        raise BenchmarkError(f"{where}: {error}") from None
    if spec.out is None:
        raise BenchmarkError(f"{where}: a shard needs a folder of its own; name it with --out")


def open_dataset(spec: RunSpec, given: Dataset | None = None) -> Dataset:
    """The dataset of a run, or the ``given`` one, cropped and degraded as the run says.

    A benchmark set that is not here is fetched. Raises SRBenchError where there is none, or its names cannot be names
    of files, or LR images that are there would have to be made.
    """
    degradation = None if spec.degrade in (None, BICUBIC) else read_degradation(str(spec.degrade))
    dataset = _named_dataset(spec) if given is None else given
    if spec.degrade is not None and isinstance(dataset, PairedFolders):
        raise BenchmarkError(
            f"degrade makes LR from HR, and {dataset.name} has LR images; name its HR folder alone as data"
        )
    _check_names(dataset)
    if spec.crop is not None:
        dataset = cropped(dataset, spec.scale, spec.crop)
    return dataset if degradation is None else Degraded(dataset, spec.scale, degradation)


def _named_dataset(spec: RunSpec) -> Dataset:
    """The dataset that a run names, whole."""
    if spec.hr is not None and spec.lr is not None:
        return PairedFolders(Path(spec.hr), Path(spec.lr), spec.scale)
    if spec.data is None:
        raise BenchmarkError("no data: name a dataset or a folder of HR images, or a folder each of HR and LR")
    if spec.data in registered("datasets") or (":" in spec.data and not Path(spec.data).exists()):
        return load_dataset(spec.data, spec.scale)
    sets = benchmark_sets()
    if spec.data in sets:
        return fetched_set(spec.data, spec.scale)
    path = Path(spec.data)
    if not path.exists():
        known = [*registered("datasets"), *sets]
        raise BenchmarkError(f"{unknown('dataset', str(spec.data), known)}; or name a folder of images")
    # A folder that happens to be called like a set is not that set, whose images are checked.
    name = f"{path.resolve().name} (folder)" if path.resolve().name in sets else None
    return open_folder(path, spec.scale, own_lr=spec.degrade is None, name=name)


def _check_names(dataset: Dataset) -> None:
    names = list(dataset)
    unusable = [name for name in names if not is_file_name(name)]
    if unusable or len(set(names)) < len(names):
        fault = f"{unusable[0]!r} cannot be {FILE_NAME}" if unusable else "two images have one name"
        raise BenchmarkError(f"dataset {dataset.name}: {fault}; rename the image")


def _codes(dataset: Dataset) -> list[str]:
    """Digests of the code that makes pairs: of the dataset, of the one it crops, and of reading and downscaling."""
    whole = getattr(dataset, "whole", None)
    inner = [] if whole is None else _codes(whole)
    return [source_digest(dataset) or "unknown", package_digest("srbench.data.datasets"), *inner]
