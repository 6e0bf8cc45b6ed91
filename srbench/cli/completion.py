"""Values that a shell completes: names of this installation, keys of presets, and rows of a run.
Nothing loads torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, FishComplete, add_completion_class

from srbench.interfaces import SRBenchError

if TYPE_CHECKING:
    from srbench.run_folder.protocol import Manifest


@add_completion_class
class Fish(FishComplete):
    """click's completion in fish, which would cut values after their first comma."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


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


def _benchmark_sets(_: click.Context) -> Iterable[str]:
    from srbench.data.benchmark_sets.table import benchmark_sets

    return benchmark_sets()


def _released(_: click.Context) -> Iterable[str]:
    from srbench.weights.table import released_weights

    return released_weights()


def _degradations(_: click.Context) -> Iterable[str]:
    from srbench.cli.catalogue import degradation_names

    return degradation_names()


def _all_names(_: click.Context) -> Iterable[str]:
    from srbench.cli.catalogue import CATALOGUE

    return dict.fromkeys(name for kind in CATALOGUE for name in kind.names())


def _trainers(_: click.Context) -> Iterable[str]:
    from srbench.plugins.registry import registered

    return registered("trainers")


def _presets(context: click.Context) -> dict[str, list[str]]:
    """TOML texts of the presets of the typed model, else of all models, by name."""
    from srbench.cli.catalogue import preset_files

    trained = context.args[:1] if context.command.name == "train" else []
    texts: dict[str, list[str]] = {}
    for model, name, text in preset_files():
        if model in trained or not trained:
            texts.setdefault(name, []).append(text)
    return texts


def _keys(context: click.Context) -> Iterable[str]:
    """Keys of the typed preset, with its values unless they are lists; else the keys of all presets."""
    import tomllib

    presets, typed = _presets(context), str(context.params.get("preset"))
    texts = presets.get(typed) or [text for texts in presets.values() for text in texts]
    changes = (change for text in texts for change in _changes(tomllib.loads(text)))
    return dict.fromkeys(change if len(texts) == 1 else f"{change.partition('=')[0]}=" for change in changes)


def _changes(table: Mapping[str, Any], outer: str = "") -> Iterator[str]:
    """Yield ``training.steps=6000`` for all values of a preset;
    of a list, which needs quotes in a shell, only the key.
    """
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _changes(value, f"{outer}{key}.")
        else:
            shown = str(value).lower() if isinstance(value, bool) else value
            yield f"{outer}{key}={'' if isinstance(value, list) else shown}"


def _rows(context: click.Context) -> Iterable[str]:
    """Rows of the tables of the typed runs, such as ``srflow-t0.8``."""
    return dict.fromkeys(setting.folder for run in _manifests(context) for setting in run.settings)


def _measured(context: click.Context) -> Iterable[str]:
    """Metrics of the typed runs."""
    return dict.fromkeys(metric.name for run in _manifests(context) for metric in run.metrics)


def _labels(context: click.Context) -> Iterable[str]:
    """Labels of the models of the run that ``--out`` names."""
    return dict.fromkeys(setting.model for run in _manifests(context) for setting in run.settings)


def _images(context: click.Context) -> Iterable[str]:
    return dict.fromkeys(image for run in _manifests(context) for image in run.images)


def _manifests(context: click.Context) -> list[Manifest]:
    """Read the typed runs. click leaves them in ``args`` while the value of an option is missing."""
    from srbench.run_folder.manifest import is_run, read_manifest

    typed = (*(context.params.get("runs") or ()), context.params.get("run"), context.params.get("out"), *context.args)
    return [read_manifest(path) for path in map(Path, filter(None, typed)) if is_run(path)]


MODELS, METRICS, SUITES = completing(_models), completing(_metrics), completing(_suites)
DATASETS, ROWS, MEASURED = completing(_datasets), completing(_rows), completing(_measured)
SETS, RELEASED, DEGRADATIONS = completing(_benchmark_sets), completing(_released), completing(_degradations)
NAMES, TRAINERS, PRESETS, KEYS = map(completing, (_all_names, _trainers, _presets, _keys))
LABELS, IMAGES = completing(_labels), completing(_images)
FILES = completing(lambda _: ())


def words(*values: str) -> Completer:
    """Return the completion of an option that takes these words, or others."""
    return completing(lambda _: values)
