"""An opened request: its dataset, metrics and models are loaded."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from srbench.benchmark import BenchmarkError, RequestError
from srbench.benchmark.dataset import open_dataset, pair_key_of, protocol_of
from srbench.benchmark.plan import RequestDigests
from srbench.benchmark.sampler import source_of
from srbench.data.datasets import has_hr
from srbench.interfaces import Dataset, PrecomputedResults, StochasticSRModel
from srbench.metrics.loading import LoadedMetric
from srbench.metrics.suite import Suite, open_metrics, read_suite
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel, load_model, wrap_model
from srbench.models.precomputed import ResultFolder
from srbench.run_folder.protocol import FORMAT, RESERVED, Manifest, Setting, drawn_settings
from srbench.run_folder.request import RunSpec
from srbench.words import is_file_name, unknown


@dataclass(frozen=True)
class Bench:
    """A RunSpec whose dataset, suite, models and metrics are opened."""

    spec: RunSpec
    device: str
    dataset: Dataset
    suite: Suite
    models: dict[str, LoadedModel]
    metrics: tuple[LoadedMetric, ...]

    @property
    def items(self) -> int:
        """Number of items requested: settings times images."""
        return len(self.settings) * len(self.images)

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Names of the requested images."""
        return self.spec.chosen(tuple(self.dataset))

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Requested settings, in the order of the table."""
        settings: list[Setting] = []
        for loaded in self.models.values():
            if isinstance(loaded.model, StochasticSRModel):
                settings += drawn_settings(self.spec, loaded)
            else:
                settings.append(Setting(loaded.label, None))
        return tuple(settings)

    @property
    def elsewhere(self) -> frozenset[str]:
        """Labels of the models whose results were made elsewhere."""
        return frozenset(label for label, loaded in self.models.items() if isinstance(loaded.model, PrecomputedResults))

    @property
    def digests(self) -> RequestDigests:
        """The settings and images requested, with functions that give their keys; ``plan`` finds the missing work."""
        key = pair_key_of(self.dataset)
        return RequestDigests(self.settings, self.images, key, self.source, self.spec.again)

    def source(self, label: str, image: str) -> str:
        """Return the digest of a precomputed result, or "" for a model that runs.

        Raises SRBenchError if the result is missing.
        """
        return source_of(self.models[label].model, image)

    def manifest(self) -> Manifest:
        """Return the manifest that a new run folder of this request would have."""
        protocol = protocol_of(self.spec, self.suite, self.dataset)
        models = tuple(loaded.facts() for loaded in self.models.values())
        metrics = tuple(metric.facts for metric in self.metrics)
        return Manifest(FORMAT, protocol, tuple(self.dataset), metrics, models, self.settings, ())


def open_bench(
    spec: RunSpec,
    dataset: Dataset | None = None,
    objects: Mapping[str, tuple[str | None, object]] | None = None,
) -> Bench:
    """Open suite, dataset, metrics and models, in this order. Raises SRBenchError at the first failure.

    Args:
        spec: The request.
        dataset: Dataset of the request, if already open.
        objects: Models passed as objects: their name in the request -> (label or None, object).
    """
    device = choose_device(spec.device)
    suite = read_suite(spec.suite)
    dataset = dataset or open_dataset(spec)
    metrics = open_metrics(spec.metrics, suite.columns, suite.quantize, suite.optional, spec.samples)
    if not has_hr(dataset):
        metrics = without_hr(metrics, None if spec.metrics else suite.label, f"{dataset.name} has none")
    if spec.samples == 1:
        metrics = without_samples(metrics, None if spec.metrics else suite.label)
    models: dict[str, LoadedModel] = {}
    for text in spec.models:
        if objects and text in objects:
            label, model = objects[text]
            loaded = wrap_model(model, spec.scale, device, label)
        else:
            loaded = load_model(text, spec.scale, device)
        _add_model(models, loaded)
        if isinstance(loaded.model, ResultFolder):
            _pair(loaded.spec, loaded.model, dataset)
    for label in spec.again:
        if label not in models:
            raise BenchmarkError(f"--again: {unknown('model', label, models)}")
    return Bench(spec, device, dataset, suite, models, metrics)


def without_hr(metrics: tuple[LoadedMetric, ...], suite: str | None, reason: str) -> tuple[LoadedMetric, ...]:
    """Return the metrics that need no HR images.

    ``suite`` is None if the user named the metrics; otherwise metrics that need HR are dropped. ``reason`` completes
    the error message. Raises BenchmarkError if no metric is left, or if a metric that the user named needs HR.
    """
    usable = tuple(metric for metric in metrics if "HR" not in metric.facts.needs)
    if suite is None and len(usable) < len(metrics):
        titles = [metric.facts.title for metric in metrics if metric not in usable]
        need, them = ("needs", "it") if len(titles) == 1 else ("need", "them")
        raise BenchmarkError(f"{', '.join(titles)} {need} HR images, and {reason}; leave {them} out of --metrics")
    if not usable:
        raise BenchmarkError(f"all metrics of {suite} need HR images, and {reason}; choose metrics with --metrics")
    return usable


def without_samples(metrics: tuple[LoadedMetric, ...], suite: str | None) -> tuple[LoadedMetric, ...]:
    """Return the metrics that can measure a single sample per image.

    ``suite`` is None if the user named the metrics. Raises RequestError if no metric is left, or if a metric that the
    user named needs several samples.
    """
    usable = tuple(metric for metric in metrics if "samples" not in metric.facts.needs)
    if (suite is None and len(usable) < len(metrics)) or not usable:
        titles = [metric.facts.title for metric in metrics if metric not in usable]
        need, them = ("needs", "it") if len(titles) == 1 else ("need", "them")
        raise RequestError(
            f"{', '.join(titles)} {need} two or more samples per image; raise --samples, or leave {them} out of "
            "--metrics"
        )
    return usable


def _pair(spec: str, results: ResultFolder, dataset: Dataset) -> None:
    """Pair precomputed results with the images of a dataset; warn of those that match none, perhaps misspelt."""
    results.pair_with(list(dataset), results.scale)
    unpaired = results.unpaired(list(dataset))
    if unpaired:
        shown = ", ".join(unpaired[:3]) + (f" and {len(unpaired) - 3} more" if len(unpaired) > 3 else "")
        warnings.warn(f"{spec}: {shown} in it belong to no image of {dataset.name}, and are not measured", stacklevel=3)


def _add_model(models: dict[str, LoadedModel], loaded: LoadedModel) -> None:
    """Add a model under its label. Raises BenchmarkError if the label is taken, reserved or too long."""
    reason = ""
    if loaded.label in models:
        reason = f"taken by {models[loaded.label].spec}"
    elif loaded.label.casefold() in RESERVED:
        reason = "reserved"
    elif not is_file_name(loaded.label):
        reason = "too long"
    if reason:
        raise BenchmarkError(f"{loaded.spec}: the label {loaded.label} is {reason}; give another: LABEL={loaded.spec}")
    models[loaded.label] = loaded
