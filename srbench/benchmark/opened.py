"""An opened request: dataset, suite, models and metrics.
What its run folder knows is not loaded, and needs no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from srbench.benchmark import BenchmarkError, RequestError
from srbench.benchmark.checkpoints import models_named, require_memory
from srbench.benchmark.dataset import open_dataset, pair_key_of, protocol_of
from srbench.benchmark.sampler import source_of
from srbench.data.datasets import groups, has_hr
from srbench.images.pairing import require_partners
from srbench.interfaces import (
    Dataset,
    MetricInfo,
    Need,
    PrecomputedResults,
    SetMetric,
    SRBenchError,
    StochasticSRModel,
)
from srbench.metrics.loading import LoadedMetric, metric_digest
from srbench.metrics.suite import NEEDED, Suite, full_names, open_metrics, read_suite
from srbench.models import LoadedModel, ModelInfo
from srbench.models.names import ModelSpec
from srbench.models.precomputed import ResultFolder
from srbench.run_folder.location import folder_of
from srbench.run_folder.manifest import is_run, read_manifest
from srbench.run_folder.protocol import FORMAT, RESERVED, Manifest, Protocol, Setting, drawn_settings
from srbench.run_folder.request import RunSpec
from srbench.words import is_file_name, unknown


@dataclass(frozen=True)
class OpenedRequest:
    """A request with its dataset and suite, and the info of its models and metrics.

    A model or metric whose code and weights are those of the run folder is loaded on first use.
    """

    spec: RunSpec
    dataset: Dataset
    suite: Suite
    models: Mapping[str, ModelInfo]
    """Models by label: a ``LoadedModel``, or the info in the run folder."""
    settings: tuple[Setting, ...]
    """Requested settings, in the order of the table."""
    metrics: tuple[MetricInfo, ...]
    loaded_metrics: tuple[LoadedMetric, ...] = ()
    """The metrics, unless the run folder has the info of all."""
    names: tuple[str, ...] = ()
    """Names of the models, one for each: the checkpoints of a pattern one by one."""
    faults: tuple[str, ...] = ()
    """One line for each checkpoint of a pattern that cannot be loaded; it is left out."""

    @property
    def items(self) -> int:
        """Number of items requested: settings times images."""
        return len(self.settings) * len(self.images)

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Names of the requested images."""
        return self.spec.chosen(tuple(self.dataset))

    @cached_property
    def pair_key(self) -> Callable[[str], str]:
        """Maps an image to the key of its pair. Raises SRBenchError if its files cannot be read."""
        return pair_key_of(self.dataset)

    @property
    def with_every_model(self) -> RunSpec:
        """The request with a name for each model."""
        return replace(self.spec, models=self.names)

    @property
    def joint_labels(self) -> tuple[str, ...]:
        """Labels of the models, one for all checkpoints of a training: the name of a run folder without ``--out``."""
        return tuple(dict.fromkeys(model.joint_label for model in self.models.values()))

    @property
    def loaded_models(self) -> dict[str, LoadedModel]:
        """The models that are loaded, by label."""
        return {label: model for label, model in self.models.items() if isinstance(model, LoadedModel)}

    @property
    def precomputed(self) -> frozenset[str]:
        """Labels of the models whose results are precomputed."""
        loaded = self.loaded_models.items()
        return frozenset(label for label, model in loaded if isinstance(model.model, PrecomputedResults))

    def source(self, label: str, image: str) -> str:
        """Return the digest of a precomputed result, or "" for a model that runs.

        Raises SRBenchError if the result is missing.
        """
        model = self.models[label]  # precomputed results are always loaded
        return source_of(model.model, image) if isinstance(model, LoadedModel) else ""

    def manifest(self) -> Manifest:
        """Return the manifest that a new run folder of this request would have."""
        protocol = protocol_of(self.spec, self.suite, self.dataset)
        if any(isinstance(metric.metric, SetMetric) and "samples" in metric.needs for metric in self.loaded_metrics):
            protocol = replace(protocol, kept=max(protocol.kept, protocol.samples))  # it measures the saved samples
        models = tuple(model.unloaded() for model in self.models.values())
        images, of_images = tuple(self.dataset), groups(self.dataset)
        return Manifest(FORMAT, protocol, images, self.metrics, models, self.settings, (), of_images)


def open_request(
    spec: RunSpec,
    dataset: Dataset | None = None,
    objects: Mapping[str, tuple[str | None, object]] | None = None,
    *,
    runs_here: bool = True,
) -> OpenedRequest:
    """Open suite, dataset, metrics and models, in this order.

    Raises SRBenchError at the first failure; a checkpoint of a pattern is left out while another can be loaded.

    Args:
        spec: The request.
        dataset: Dataset of the request, if already open.
        objects: Models passed as objects: their name in the request -> (label or None, object).
        runs_here: False if other processes run the models that are loaded here by name; see ``load_model``.
    """
    suite = read_suite(spec.suite)
    dataset = open_dataset(spec) if dataset is None else dataset
    objects = objects or {}
    named: list[ModelSpec] = []
    for text in spec.models:  # the name of an object may be any text
        named += [ModelSpec("code", text, "", text, False, False)] if text in objects else models_named(text)
    recorded = None if objects else _recorded_manifest(spec, named, protocol_of(spec, suite, dataset))
    loaded_metrics: tuple[LoadedMetric, ...] = ()
    metrics = _recorded_metrics(spec, suite, recorded)
    if metrics is None:
        loaded_metrics = _open_metrics(spec, suite, dataset)
        metrics = tuple(metric.info for metric in loaded_metrics)
    models: dict[str, ModelInfo] = {}
    settings: list[Setting] = []
    names: list[str] = []
    faults: list[str] = []
    left = Counter(each.checkpoint.training for each in named if each.checkpoint)
    for place, each in enumerate(named):
        try:
            model = _recorded_model(each, spec, recorded) or _load_model(each.text, spec, objects, runs_here)
        except SRBenchError as error:
            if each.checkpoint is None or left[each.checkpoint.training] == 1:
                raise
            left[each.checkpoint.training] -= 1
            faults.append(f"{each.label}: {error}")
            continue
        names.append(each.text)
        model = replace(model, checkpoint=each.checkpoint)
        _add_model(models, model)
        if isinstance(model, LoadedModel):
            _require_memory(model, named[place + 1 :], spec.device)
            samples = isinstance(model.model, StochasticSRModel)
            if isinstance(model.model, ResultFolder):
                results, images = model.model, tuple(dataset)
                results.pair_with(images, results.scale)
                require_partners(results.without_partner(images, dataset.name, spec.limit))
        else:
            samples = recorded is not None and Setting(model.label, None) not in recorded.settings
        settings += drawn_settings(spec, model) if samples else [Setting(model.label, None)]
    for label in spec.again:
        if label not in models:
            raise BenchmarkError(f"--again: {unknown('model', label, models)}")
    return OpenedRequest(
        spec, dataset, suite, models, tuple(settings), metrics, loaded_metrics, tuple(names), tuple(faults)
    )


def _recorded_manifest(spec: RunSpec, named: Sequence[ModelSpec], protocol: Protocol) -> Manifest | None:
    """Return the manifest of the run folder that a request continues; None if it has none, or another protocol."""
    try:
        labels = [each.checkpoint.training if each.checkpoint else each.label for each in named]
        path = folder_of(spec, list(dict.fromkeys(labels)))
        manifest = read_manifest(path) if is_run(path) else None
    except SRBenchError:  # raised again when the models are loaded, or the folder is read
        return None
    # the number of saved samples may have grown with a metric
    is_same = manifest is not None and replace(manifest.protocol, kept=protocol.kept) == protocol
    return manifest if is_same else None


def _recorded_metrics(spec: RunSpec, suite: Suite, recorded: Manifest | None) -> tuple[MetricInfo, ...] | None:
    """Return the info of the requested metrics in a manifest; None unless it has all, and their code is unchanged."""
    by_name = {} if recorded is None else {metric.spec: metric for metric in recorded.metrics}
    names = full_names(spec.metrics, suite.columns)
    metrics = tuple(by_name[name] for name in names if name in by_name)
    if len(set(names)) < len(names) or len(metrics) < len(names):
        return None
    is_current = all(metric_digest(metric.spec, suite.quantize) == metric.digest for metric in metrics)
    return metrics if is_current else None


def _recorded_model(named: ModelSpec, spec: RunSpec, recorded: Manifest | None) -> ModelInfo | None:
    """Return the info of a model in a manifest; None if it lacks the model, or its code or weights may be others.

    Raises SRBenchError for missing weights.
    """
    if recorded is None:
        return None
    model = {each.label: each for each in recorded.models}.get(named.label)
    if model is None or named.kind == "folder" or named.label in spec.again:
        return None
    has_settings = any(setting.model == named.label for setting in recorded.settings)
    return replace(model, spec=named.text) if has_settings and named.digest(spec.scale) == model.digest else None


def _load_model(
    text: str, spec: RunSpec, objects: Mapping[str, tuple[str | None, object]], runs_here: bool
) -> LoadedModel:
    """Load a model by name, or wrap an object. Raises SRBenchError."""
    from srbench.models.inference import choose_device  # imports torch
    from srbench.models.loading import load_model, wrap_model

    device = choose_device(spec.device)
    if text not in objects:
        return load_model(text, spec.scale, device, runs_here=runs_here)
    label, model = objects[text]
    return wrap_model(model, spec.scale, device, label)


def _require_memory(loaded: LoadedModel, named: Sequence[ModelSpec], device: str) -> None:
    """Raise RequestError if the remaining checkpoints of a training do not fit into memory,
    each as large as ``loaded``.
    """
    from srbench.models.inference import choose_device

    of_training = [each for each in named if each.checkpoint and each.checkpoint.training == loaded.joint_label]
    if loaded.checkpoint and of_training:
        require_memory(len(of_training) * [loaded], choose_device(device))


def _open_metrics(spec: RunSpec, suite: Suite, dataset: Dataset) -> tuple[LoadedMetric, ...]:
    """Load the requested metrics, without those of the suite that these images or a single sample do not permit."""
    metrics = open_metrics(spec.metrics, suite.columns, suite.quantize, suite.optional, spec.samples)
    lacking = lacking_in(dataset.name, dataset, groups(dataset), spec.samples, spec.scale, has_hr=has_hr(dataset))
    return usable(metrics, lacking, None if spec.metrics else suite.label)


def lacking_in(
    where: object, images: Iterable[str], groups: Mapping[str, str], samples: int, scale: int, *, has_hr: bool
) -> dict[Need, Lack]:
    """Return what metrics may need and a run does not have; ``where`` is its dataset or its folder."""
    lacking: dict[Need, Lack] = {}
    if not has_hr:
        lacking["HR"] = Lack(f", and {where} has none")
    if not set(images) <= groups.keys():
        lacking["groups"] = Lack(f", and {where} has images in no group; put the images of each into a subfolder")
    if samples == 1:
        lacking["samples"] = Lack("; raise --samples", RequestError)
    if scale == 1:
        lacking["downscaling"] = Lack()
    return lacking


@dataclass(frozen=True)
class Lack:
    """Something that metrics may need and that a command does not have."""

    words: str = ""
    """What follows the thing in a message: ``; name their folder with --hr``."""
    error: type[BenchmarkError] = BenchmarkError
    """Class of the error that refuses a metric."""


def usable(
    metrics: Sequence[LoadedMetric], lacking: Mapping[Need, Lack], suite: str | None
) -> tuple[LoadedMetric, ...]:
    """Return the metrics that need nothing that is lacking.

    ``suite`` is the label of the suite to which the metrics belong; None if the user named them. Raises the error of a
    ``Lack`` if it concerns a metric that the user named, or if no metric of the suite is left.
    """
    left = tuple(metric for metric in metrics if lacking.keys().isdisjoint(metric.needs))
    if len(left) == len(metrics) or (suite is not None and left):
        return left
    need = next(need for need in lacking if any(need in metric.needs for metric in metrics))
    titles = [metric.info.title for metric in metrics if need in metric.needs]
    who, them = ", ".join(titles), "it" if len(titles) == 1 else "them"
    verb, advice = "needs" if len(titles) == 1 else "need", f"leave {them} out of --metrics"
    if suite is not None:
        who, verb, advice = f"all metrics of {suite}", "need", "choose metrics with --metrics"
    lack = lacking[need]
    raise lack.error(f"{who} {verb} {NEEDED[need]}{lack.words}{', or' if ';' in lack.words else ';'} {advice}")


def _add_model(models: dict[str, ModelInfo], model: ModelInfo) -> None:
    """Add a model under its label. Raises BenchmarkError if the label is taken, reserved or too long."""
    reason = ""
    if model.label in models:
        reason = f"taken by {models[model.label].spec}"
    elif model.label.casefold() in RESERVED:
        reason = "reserved"
    elif not is_file_name(model.label):
        reason = "too long"
    if reason:
        name = model.spec.removeprefix(f"{model.label}=")
        raise BenchmarkError(f"{model.spec}: the label {model.label} is {reason}; give another: LABEL={name}")
    models[model.label] = model
