"""A command line as a RunSpec, and the dataset, metrics and models that it names."""

from __future__ import annotations

import math
import re
import shlex
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from srbench.benchmark import BenchmarkError
from srbench.data.benchmark_sets.fetch import fetched_set
from srbench.data.benchmark_sets.table import benchmark_sets
from srbench.data.datasets import LRFolder, PairedFolders, cropped, has_hr, lr_origin, open_folder
from srbench.data.degradations.read import DEFAULT as BICUBIC
from srbench.data.degradations.read import degraded, read_degradation
from srbench.interfaces import LARGEST_SEED, SMALLEST_TILE, Dataset, PrecomputedResults, StochasticSRModel
from srbench.metrics.suite import DEFAULT, Suite, open_metrics, read_suite
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel, load_model, wrap_model
from srbench.models.precomputed import ResultFolder
from srbench.plugins.code_digest import package_digest
from srbench.plugins.registry import LoadedMetric, call, load_dataset, registered, source_digest
from srbench.run_folder.protocol import FORMAT, KEPT, RESERVED, Manifest, Protocol, Setting
from srbench.run_folder.records import digest
from srbench.words import FILE_NAME, is_file_name, unknown


@dataclass(frozen=True)
class RunSpec:
    """A request: the command line as a value."""

    models: tuple[str, ...]
    scale: int
    data: str | None = "photos"
    """A registered dataset, a benchmark set or a folder of HR images; None if ``lr`` is given."""
    hr: str | None = None
    lr: str | None = None
    """Folder of LR images, paired with those of ``hr``; without ``hr`` there are no HR images."""
    limit: int | None = None
    crop: int | None = None
    degrade: str | None = None
    """Degradation that makes LR from HR, by name or as a TOML file; None: as the dataset says."""
    suite: str = DEFAULT
    """Suite by name or as a TOML file."""
    metrics: tuple[str, ...] | None = None
    """Metrics by name; None: those of the suite."""
    temperature: tuple[float, ...] = (0.8,)
    samples: int = 5
    seed: int = 0
    device: str = "auto"
    tile: int | None = None
    out: str | None = None
    shard: str | None = None
    """``2/8``: the second of eight parts of the images; None: all."""

    def command(self, spans: Mapping[str, tuple[object, ...]] | None = None) -> str:
        """The command that makes this run; options with their default values are left out.

        ``spans`` are options with several values each: the command then makes the matrix of all of them.
        """
        words = ["srbench", "run"]
        default = RunSpec(models=(), scale=0)
        for name, value in (asdict(self) | dict(spans or {})).items():
            if value == getattr(default, name) or value is None:
                continue
            words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return shlex.join(words)


@dataclass(frozen=True)
class Bench:
    """A RunSpec with all that it names opened."""

    spec: RunSpec
    device: str
    dataset: Dataset
    suite: Suite
    models: dict[str, LoadedModel]
    metrics: tuple[LoadedMetric, ...]

    @property
    def items(self) -> int:
        """Number of settings and images that are asked for."""
        return len(self.settings) * len(self.images)

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Names of the images that are asked for."""
        number, of = parse_shard(self.spec.shard or "1/1")
        return tuple(self.dataset)[: self.spec.limit][number - 1 :: of]

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Settings that are asked for, in the order of the table."""
        temperatures = sorted(self.spec.temperature)
        return tuple(
            Setting(loaded.label, temperature)
            for loaded in self.models.values()
            for temperature in (temperatures if isinstance(loaded.model, StochasticSRModel) else [None])
        )

    @cached_property
    def elsewhere(self) -> frozenset[str]:
        """Labels of the models whose results were made elsewhere."""
        return frozenset(label for label, one in self.models.items() if isinstance(one.model, PrecomputedResults))

    def pair_key(self, image: str) -> str:
        """Key of a pair: digest of the dataset's own digest and the code that reads it. Raises as the dataset does."""
        stated = call(f"{image}: digest of dataset {self.dataset.name}", self.dataset.digest, image)
        return digest("pair", stated, *self._codes)

    @cached_property
    def _codes(self) -> list[str]:
        return _codes(self.dataset)

    def manifest(self) -> Manifest:
        """The manifest of a new folder of this run."""
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
            # the values of a suite that states more than usual depend on every sample
            kept=max(KEPT, spec.samples) if (self.suite.samples or 0) > KEPT else KEPT,
        )
        models = tuple(loaded.facts() for loaded in self.models.values())
        metrics = tuple(metric.facts for metric in self.metrics)
        return Manifest(FORMAT, protocol, tuple(self.dataset), metrics, models, self.settings, ())


def open_bench(
    spec: RunSpec,
    dataset: Dataset | None = None,
    objects: Mapping[str, tuple[str | None, object]] | None = None,
    before_models: Callable[[str, int], None] | None = None,
) -> Bench:
    """Open suite, dataset, metrics and models, in this order. Raises SRBenchError for the first that fails.

    ``before_models`` is called with the device and the number of images as soon as they are known.

    A ``dataset`` given as an object replaces that of the spec. ``objects`` are models given as objects: the text in
    the spec -> label and object.
    """
    device = choose_device(spec.device)
    suite = read_suite(spec.suite)
    dataset = open_dataset(spec, dataset)
    metrics = open_metrics(spec.metrics, suite.columns, suite.quantize, suite.optional, spec.samples)
    if not has_hr(dataset):
        metrics = without_hr(metrics, None if spec.metrics else suite.label, f"{dataset.name} has none")
    if before_models is not None:
        before_models(device, min(len(dataset), spec.limit or len(dataset)))
    models: dict[str, LoadedModel] = {}
    for text in spec.models:
        if objects and text in objects:
            label, thing = objects[text]
            loaded = wrap_model(thing, spec.scale, device, label)
        else:
            loaded = load_model(text, spec.scale, device)
        _add_model(models, loaded)
        _name_others(loaded, dataset)
    return Bench(spec, device, dataset, suite, models, metrics)


def without_hr(metrics: tuple[LoadedMetric, ...], suite: str | None, reason: str) -> tuple[LoadedMetric, ...]:
    """The metrics that need no HR images, of those of a suite. Raises BenchmarkError if there are none.

    Without a suite, metrics were asked for by name: then it is raised if any needs HR.
    """
    usable = tuple(metric for metric in metrics if "HR" not in metric.facts.needs)
    if suite is None and len(usable) < len(metrics):
        titles = [one.facts.title for one in metrics if one not in usable]
        need = "needs" if len(titles) == 1 else "need"
        raise BenchmarkError(f"{', '.join(titles)} {need} HR images, and {reason}; leave out of --metrics")
    if not usable:
        raise BenchmarkError(f"all metrics of {suite} need HR images, and {reason}; name others with --metrics")
    return usable


def _name_others(loaded: LoadedModel, dataset: Dataset) -> None:
    """Warn of precomputed results that belong to no image: perhaps they were meant for one of another name."""
    others = loaded.model.others(list(dataset)) if isinstance(loaded.model, ResultFolder) else []
    if others:
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        warnings.warn(
            f"{loaded.spec}: {shown} in it belong to no image of {dataset.name}, and are not measured", stacklevel=3
        )


def _add_model(models: dict[str, LoadedModel], loaded: LoadedModel) -> None:
    """Add a model under its label. Raises BenchmarkError if the label is taken, reserved or too long."""
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
    """Return the spec unchanged. Raises BenchmarkError, beginning with ``where``, for a value that cannot be run."""
    for name, smallest in {"scale": 2, "limit": 1, "crop": 1, "samples": 1, "seed": 0, "tile": SMALLEST_TILE}.items():
        value = getattr(spec, name)
        if value is not None and not smallest <= value <= LARGEST_SEED:
            allowed = f"{smallest} or more" if value < smallest else f"at most {LARGEST_SEED}"
            raise BenchmarkError(f"{where}: {name} is {value}; it has to be {allowed}")
    for temperature in spec.temperature:
        if not 0 <= temperature < math.inf:
            raise BenchmarkError(f"{where}: {temperature} is not a temperature; it has to be 0 or more")
    if spec.device not in ("auto", "cpu", "cuda", "mps"):
        raise BenchmarkError(f"{where}: device is {spec.device!r}; choose auto, cpu, cuda or mps")
    try:
        parse_shard(spec.shard or "1/1")
    except ValueError as error:
        raise BenchmarkError(f"{where}: {error}") from None
    if spec.shard is not None and spec.out is None:
        raise BenchmarkError(f"{where}: a shard needs a folder of its own; name it with --out")
    for name in ("metrics", "temperature"):
        if getattr(spec, name) == ():
            raise BenchmarkError(f"{where}: {name} is empty; name at least one")
    return spec


def parse_shard(text: str) -> tuple[int, int]:
    """``2/8``, the second of eight parts of the images, as numbers. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"{text!r} is not a shard; give 1/4 to 4/4 for a run in four parts")
    return int(found[1]), int(found[2])


def open_dataset(spec: RunSpec, given: Dataset | None = None) -> Dataset:
    """Open the dataset of a run, or take the ``given`` one, and crop and degrade it as the run says.

    A benchmark set that is not on this machine is fetched. Raises SRBenchError if there is no such dataset, its names
    cannot be file names, or a crop or degradation is asked of a dataset that lacks what it takes.
    """
    degradation = None if spec.degrade in (None, BICUBIC) else read_degradation(str(spec.degrade))
    dataset = _named_dataset(spec) if given is None else given
    if not has_hr(dataset) and (given_name := next((one for one in ("degrade", "crop") if getattr(spec, one)), None)):
        does = {"degrade": "makes LR from HR", "crop": "is a size in HR pixels"}[given_name]
        raise BenchmarkError(f"{given_name} {does}, but {dataset.name} has only LR images; leave out --{given_name}")
    if spec.degrade is not None and isinstance(dataset, PairedFolders):
        raise BenchmarkError(
            f"degrade makes LR from HR, but {dataset.name} has LR images; give only its HR folder as data"
        )
    _check_names(dataset)
    if spec.crop is not None:
        dataset = cropped(dataset, spec.scale, spec.crop)
    return dataset if degradation is None else degraded(dataset, spec.scale, degradation)


def _named_dataset(spec: RunSpec) -> Dataset:
    """The dataset that a run names, before crop and degradation."""
    if spec.lr is not None:
        low = Path(spec.lr)
        return LRFolder(low, spec.scale) if spec.hr is None else PairedFolders(Path(spec.hr), low, spec.scale)
    if spec.data is None:
        raise BenchmarkError("no data: name a dataset or a folder of HR images, one of LR images, or one of each")
    is_code = spec.data.endswith(".py") and not Path(spec.data).is_dir()
    if spec.data in registered("datasets") or is_code or (":" in spec.data and not Path(spec.data).exists()):
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
    if dataset.name.encode(errors="ignore").decode() != dataset.name:
        raise BenchmarkError(f"dataset {dataset.name}: its name is not UTF-8; rename the folder")
    names = list(dataset)
    unusable = [name for name in names if not is_file_name(name)]
    if unusable or len(set(names)) < len(names):
        fault = f"{unusable[0]!r} cannot be {FILE_NAME}" if unusable else "two images have the same name"
        raise BenchmarkError(f"dataset {dataset.name}: {fault}; rename the image")


def _codes(dataset: Dataset) -> list[str]:
    """Digests of the code that makes pairs: the dataset, the one it crops, reading and downscaling."""
    whole = getattr(dataset, "whole", None)
    inner = [] if whole is None else _codes(whole)
    return [source_digest(dataset) or "unknown", package_digest("srbench.data.datasets"), *inner]
