"""A fast path for finished requests: digests of files show that nothing is left, without torch or a model."""

from __future__ import annotations

from srbench.benchmark.dataset import open_dataset, pair_key_of, protocol_of
from srbench.benchmark.outcome import Outcome
from srbench.benchmark.plan import RequestDigests, plan
from srbench.data.benchmark_sets.table import benchmark_sets, is_here
from srbench.interfaces import MetricFacts, SRBenchError
from srbench.metrics.loading import metric_digest
from srbench.metrics.suite import meanings, read_suite
from srbench.models.digest import digest_by_files
from srbench.models.names import ModelSpec
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.location import folder_of
from srbench.run_folder.manifest import is_run
from srbench.run_folder.protocol import Manifest, Setting, drawn_settings
from srbench.run_folder.request import RunSpec


def nothing_left(spec: RunSpec) -> Outcome | None:
    """Return the outcome of a request whose run folder is complete.

    Returns None if work is left, or if files alone cannot show that none is, as for third-party models and metrics;
    the run then finds out after it has loaded them.
    """
    try:
        models = [ModelSpec.parse(text) for text in spec.models]
        digests = {model.label: digest_by_files(model, spec.scale) for model in models}
        if not all(digests.values()) or len(digests) < len(models) or spec.again or not _is_data_here(spec):
            return None
        path = folder_of(spec, tuple(digests))
        if not is_run(path):
            return None
        folder = RunFolder.read(path)
        dataset = open_dataset(spec)
        settings = _settings(spec, digests, folder.manifest)
        images = spec.chosen(tuple(dataset))
        metrics = _metrics(spec, folder.manifest)
        if settings is None or metrics is None or not _is_recorded(folder.manifest, settings, images):
            return None
        if protocol_of(spec, read_suite(spec.suite), dataset) != folder.manifest.protocol:
            return None
        request = RequestDigests(settings, images, pair_key_of(dataset), lambda label, image: "")
        if plan(folder, metrics, request):
            return None
        return Outcome(path, len(settings) * len(images), sampled=0, scored=0, usable=True, failures=())
    except SRBenchError:  # the run itself raises it again
        return None


def _is_data_here(spec: RunSpec) -> bool:
    return spec.data not in benchmark_sets() or is_here(str(spec.data))


def _settings(spec: RunSpec, digests: dict[str, str], manifest: Manifest) -> tuple[Setting, ...] | None:
    """Return the requested settings; None if the folder lacks a model, or has a different model under its label."""
    known = {model.label: model for model in manifest.models}
    if any(label not in known or known[label].digest != digest for label, digest in digests.items()):
        return None
    settings: list[Setting] = []
    for label in digests:
        single = Setting(label, None)
        settings += [single] if single in manifest.settings else drawn_settings(spec, known[label])
    return tuple(settings)


def _is_recorded(manifest: Manifest, settings: tuple[Setting, ...], images: tuple[str, ...]) -> bool:
    """Return whether finished commands have requested all these settings and images."""
    if manifest.unfinished():
        return False
    return all(set(images) <= set(manifest.planned(setting)) for setting in settings)


def _metrics(spec: RunSpec, manifest: Manifest) -> list[MetricFacts] | None:
    """Return the metrics of the folder; None if it lacks a requested metric, or a metric may have changed."""
    suite = read_suite(spec.suite)
    columns = meanings(suite.columns)
    asked = suite.columns if spec.metrics is None else [columns.get(name, name) for name in spec.metrics]
    is_measured = set(asked) <= {metric.spec for metric in manifest.metrics}
    is_current = all(metric_digest(metric.spec, suite.quantize) == metric.digest for metric in manifest.metrics)
    return list(manifest.metrics) if is_measured and is_current else None
