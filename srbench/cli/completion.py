"""Values that a shell completes: names of models, metrics, suites and datasets, and rows of a run. Nothing loads torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from srbench.interfaces import SRBenchError

if TYPE_CHECKING:
    from srbench.run_folder.protocol import Manifest

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def completing(names: Callable[[click.Context], Iterable[str]]) -> Completer:
    """Return the completion of an option with comma-separated names: of its last name, or of files if no name fits.

    A damaged run or file completes nothing, because a message would appear in the middle of a typed line.
    """

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        before, comma, begun = typed.rpartition(",")
        try:
            found = [CompletionItem(before + comma + name) for name in names(context) if name.startswith(begun)]
        except (SRBenchError, OSError):
            found = []
        return found or [CompletionItem(typed, type="file")]

    return complete


def _models(_: click.Context) -> Iterable[str]:
    from srbench.plugins.registry import registered

    return registered("models")


def _metrics(_: click.Context) -> Iterable[str]:
    from srbench.metrics.suite import BUNDLES
    from srbench.plugins.registry import registered

    return [*registered("metrics"), *BUNDLES]


def _suites(_: click.Context) -> Iterable[str]:
    from srbench.metrics.suite import suite_names

    return suite_names()


def _datasets(_: click.Context) -> Iterable[str]:
    from srbench.data.benchmark_sets.table import benchmark_sets
    from srbench.plugins.registry import registered

    return [*registered("datasets"), *benchmark_sets()]


def _rows(context: click.Context) -> Iterable[str]:
    """Rows of the tables of the typed runs, such as ``srflow-t0.8``."""
    return dict.fromkeys(setting.folder for run in _manifests(context) for setting in run.settings)


def _measured(context: click.Context) -> Iterable[str]:
    """Metrics of the typed runs."""
    return dict.fromkeys(metric.name for run in _manifests(context) for metric in run.metrics)


def _manifests(context: click.Context) -> list[Manifest]:
    """Read the typed runs. click leaves them in ``args`` while the value of an option is missing."""
    from srbench.run_folder.manifest import is_run, read_manifest

    typed = (*(context.params.get("runs") or ()), context.params.get("run"), *context.args)
    return [read_manifest(path) for path in map(Path, filter(None, typed)) if is_run(path)]


MODELS, METRICS, SUITES = completing(_models), completing(_metrics), completing(_suites)
DATASETS, ROWS, MEASURED = completing(_datasets), completing(_rows), completing(_measured)
