"""Finished runs: whether nothing is left to do, and the files on which that depends."""

from __future__ import annotations

from pathlib import Path

from srbench.benchmark.request import Bench
from srbench.benchmark.run import extended
from srbench.benchmark.tasks import plan_tasks
from srbench.data.benchmark_sets.table import benchmark_sets, set_folder
from srbench.data.datasets import Folder, LRFolder, PairedFolders
from srbench.interfaces import Dataset, SRBenchError
from srbench.models.loading import LoadedModel, ModelSpec
from srbench.plugins.registry import is_ours, registered
from srbench.run_folder.manifest import is_written


def is_finished(bench: Bench, path: Path) -> bool:
    """True if a run folder, read anew, holds all that is asked for."""
    try:
        bench, folder, metrics = extended(bench, path)
    except SRBenchError:
        return False
    return is_written(path, folder.manifest) and not plan_tasks(folder, metrics, bench)


def inputs_of(bench: Bench) -> list[Path] | None:
    """Files and folders, beside the code and its weights, on which the digests of a request depend.

    None if they cannot be told: a plug-in of others is asked by every command.
    """
    metrics = [metric.facts for metric in bench.metrics]
    models = [_weights_of(loaded) for loaded in bench.models.values()]
    data = _folders_of(bench.dataset, bench)
    if not all(_is_plain("metrics", one.spec.partition("+")[0]) for one in metrics) or None in models or data is None:
        return None
    files = [Path(text) for text in (bench.spec.suite, bench.spec.degrade) if text and text.endswith(".toml")]
    read = [Path(path) for metric in metrics for path in metric.parameters]
    return [*files, *read, *data, *(path for paths in models for path in paths or ())]


def _is_plain(kind: str, name: str) -> bool:
    return name in registered(kind) and is_ours(kind, name)


def _weights_of(loaded: LoadedModel) -> list[Path] | None:
    """The weights file or the folder of results behind a model; empty for one with packaged weights."""
    spec = ModelSpec.parse(loaded.spec)
    if loaded.given:
        return None
    if spec.is_folder:
        return [Path(spec.name)]
    if not _is_plain("models", spec.name):
        return None
    if not spec.weights:
        return []
    # a name may stand for another file tomorrow, and a share of the weights needs those of a second network
    return [Path(spec.weights)] if spec.strength is None and Path(spec.weights).is_file() else None


def _folders_of(dataset: Dataset, bench: Bench) -> list[Path] | None:
    """The folders of a dataset; empty for the packaged one."""
    while (whole := getattr(dataset, "whole", None)) is not None:
        dataset = whole
    if type(dataset) not in (Folder, PairedFolders, LRFolder):
        return None
    spec = bench.spec
    if spec.lr is not None or spec.data is None:
        return [Path(path) for path in (spec.lr, spec.hr) if path is not None]
    if spec.data in registered("datasets"):
        return [] if is_ours("datasets", spec.data) else None
    path = set_folder(spec.data) if spec.data in benchmark_sets() else Path(spec.data)
    return [path] if path.is_dir() else None  # a plug-in of others may return one of these datasets too
