"""``srbench show``. Imports that load torch are inside the functions."""

from __future__ import annotations

import shutil
import textwrap
import tomllib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srbench.cli import options
from srbench.cli.listing import about
from srbench.interfaces import SRBenchError
from srbench.run_folder.request import SAMPLES
from srbench.terminal.output import show

if TYPE_CHECKING:
    from srbench.interfaces import MetricFacts

Fact = tuple[str, str]
"""Name and value of a fact."""
_INDENT = 14
"""Column where values begin."""


@click.command("show", epilog=options.examples("srbench show psnr", "srbench show runs/mine"))
@click.argument("name", metavar="NAME|RUN")
def show_command(name: str) -> None:
    """Describe a model, metric, dataset or suite, or a run.

    NAME is anything that srbench list shows. Of a RUN, the head of report.md is printed, as Markdown for a README:
    conclusions, tables and notes.
    """
    from srbench.words import unknown

    is_folder = Path(name).is_dir()
    known = _names()
    kinds = [kind for kind, names in known.items() if name in names]
    if not kinds and is_folder:
        from srbench.matrix.folder import runs_in
        from srbench.reporting.report import head

        click.echo("\n\n".join(head(run) for run in runs_in(Path(name))))
        return
    if not kinds:
        raise SRBenchError(unknown("name", name, set().union(*known.values())))
    for number, kind in enumerate(kinds):
        show(f"{'' if number == 0 else chr(10)}{kind} {name}")
        for fact, value in _FACTS[kind](name):
            show(_wrapped(fact, value))


def _names() -> dict[str, Collection[str]]:
    """Return all names by kind."""
    from importlib.resources import files

    from srbench.cli.descriptions import presets
    from srbench.data.benchmark_sets.table import benchmark_sets
    from srbench.files.config import preset_names
    from srbench.metrics.loading import FOLDER_METRICS
    from srbench.metrics.suite import suite_names
    from srbench.plugins.registry import registered
    from srbench.weights.table import released_weights

    return {
        "model": registered("models"),
        "metric": [*registered("metrics"), *registered(FOLDER_METRICS)],
        "dataset": registered("datasets"),
        "benchmark set": benchmark_sets(),
        "suite": suite_names(),
        "degradation": preset_names(files("srbench.data.degradations")),  # not read_degradation, which loads torch
        "preset": {preset for _, preset, _ in presets()},
        "weights": released_weights(),
    }


def _wrapped(fact: str, value: str) -> str:
    """Wrap a fact to the width of the terminal, but never inside a word, such as an address."""
    return textwrap.fill(
        value,
        max(shutil.get_terminal_size().columns, 2 * _INDENT),
        initial_indent=f"  {fact:{_INDENT - 3}} ",
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _model(name: str) -> Iterator[Fact]:
    from srbench.editing.edit import EditableSRModel
    from srbench.interfaces import StochasticSRModel
    from srbench.models.loading import ready_models
    from srbench.plugins.registry import registered

    yield "about", about("models", name)
    yield "code", registered("models")[name].value
    try:
        ready = ready_models(name)
    except SRBenchError as error:
        yield "needs weights", str(error)
        return
    model = next(iter(ready.values())).model
    yield "scales", ", ".join(f"{scale}x" for scale in ready)
    yield "outputs", "samples, at a temperature" if isinstance(model, StochasticSRModel) else "one"
    yield "edits", "yes, with srbench edit and explore" if isinstance(model, EditableSRModel) else "no"
    for scale, loaded in ready.items():
        if (weights := loaded.weights) is not None:
            count = "unknown number of" if weights.parameters is None else f"{weights.parameters:,}"
            yield f"{scale}x", f"{count} parameters, licence {weights.licence}"
            yield "", f"trained on {weights.trained_on}"
            yield "", f"sha256 {weights.sha256}"
            if weights.temperature is not None:
                yield "", f"temperature {weights.temperature:g}, chosen on validation images"
    yield "use", f"srbench run --models {name} --scale {max(ready)}"


def _direction(metric: MetricFacts) -> str:
    return ("neither higher nor lower", "higher", "lower")[metric.direction] + " is better"


def _metric(name: str) -> Iterator[Fact]:
    from srbench.metrics.loading import is_folder_metric, open_metric
    from srbench.plugins.registry import registered

    if is_folder_metric(name):
        yield from _folder_metric(name)
        return
    yield "about", about("metrics", name)
    yield from _facts_of_metric(open_metric(name).facts)
    yield "code", registered("metrics")[name].value
    yield (
        "use",
        f"srbench run --metrics {name}; srbench measure DIR --metrics {name}; srbench score RUN --metrics {name}",
    )


def _folder_metric(name: str) -> Iterator[Fact]:
    from srbench.metrics.loading import FOLDER_METRICS, completed
    from srbench.metrics.pyiqa_variants import weights_origin
    from srbench.plugins.registry import find_plugin

    yield "about", about(FOLDER_METRICS, name)
    metric = find_plugin(FOLDER_METRICS, name).factory()
    yield from _facts_of_metric(completed(metric.facts, name, "", "floor"))  # open_metric needs the weights
    yield "weights", weights_origin("fid")
    yield "fetch", f"srbench weights fetch --metrics {name}"
    yield (
        "use",
        f"srbench run --metrics psnr,{name}; srbench measure DIR --hr DIR --metrics {name}; "
        f"srbench score RUN --metrics {name}",
    )


def _facts_of_metric(facts: MetricFacts) -> Iterator[Fact]:
    seen = {"uint8": "8-bit outputs", "float": "8-bit outputs", "returned": "outputs as returned", "model": "the model"}
    per = {"sample": "one per sample", "image": "one per image, of all its samples", "folder": "one of all images"}
    yield "title", facts.title
    yield "direction", _direction(facts)
    yield "unit", facts.unit or "none"
    yield "digits", str(facts.digits)
    yield "measures", facts.group
    yield "looks at", ", ".join([seen[facts.sees], *(need for need in facts.needs if need != "samples")])
    yield "values", per[facts.per] + (", two or more" if "samples" in facts.needs else "")
    yield "protocol", facts.protocol
    yield "signature", facts.signature


def _dataset(name: str) -> Iterator[Fact]:
    from srbench.data.datasets import has_hr
    from srbench.models.loading import SCALES
    from srbench.plugins.registry import load_dataset, registered

    dataset = load_dataset(name, SCALES[0])
    yield "about", about("datasets", name)
    yield "images", f"{len(dataset)}{'' if has_hr(dataset) else ', without HR'}"
    yield "names", ", ".join(dataset)
    yield "code", registered("datasets")[name].value
    yield "use", f"srbench run --data {name}"


def _benchmark_set(name: str) -> Iterator[Fact]:
    from srbench.data.benchmark_sets.table import find_set, is_here, set_folder

    entry = find_set(name)
    yield "title", entry.title
    yield "contents", entry.contents
    if entry.scale:
        yield "scale", f"{entry.scale}x"
    yield "checked by", entry.known_by
    yield "licence", entry.licence
    yield "here", f"yes, {set_folder(name)}" if is_here(name) else f"no; srbench data fetch {name}"
    yield "page", entry.page
    for address in entry.addresses:
        yield "address", address
    yield "use", f"srbench run --data {name}"


def _suite(name: str) -> Iterator[Fact]:
    from srbench.metrics.pyiqa_variants import weights_origin
    from srbench.metrics.suite import open_metrics, read_suite

    suite = read_suite(name)
    yield "version", str(suite.version)
    yield "about", suite.about
    yield "outputs", f"8 bits, by {suite.quantize}"
    yield "samples", f"{suite.samples or SAMPLES} per image"
    by_pyiqa = [column for column in suite.columns if column.startswith("pyiqa:")]
    own = tuple(column for column in suite.metrics if column not in by_pyiqa)
    for metric in open_metrics(None, own, suite.quantize, optional=own):
        unit = f", in {metric.facts.unit}" if metric.facts.unit else ""
        yield metric.facts.title, f"{_direction(metric.facts)}{unit}; {metric.facts.signature}"
    if suite.optional:
        yield "optional", ", ".join(suite.optional)
    for column in by_pyiqa:
        yield "" if column != by_pyiqa[0] else "weights", f"{column} {weights_origin(column.removeprefix('pyiqa:'))}"
    if by_pyiqa:
        yield "fetch", f"srbench weights fetch --suite {name}"
    yield "use", f"srbench run --suite {name}"


def _degradation(name: str) -> Iterator[Fact]:
    from srbench.data.degradations.read import read_degradation

    degradation = read_degradation(name)
    yield "about", degradation.about
    yield "steps", degradation.words
    yield "use", f"srbench run --degrade {name}"


def _preset(name: str) -> Iterator[Fact]:
    from srbench.cli.descriptions import presets

    for model, text in [(model, text) for model, preset, text in presets() if preset == name]:
        preset = tomllib.loads(text)
        training = preset["training"]
        yield "model", model
        yield "about", text.splitlines()[0].removeprefix("# ")
        yield "network", ", ".join(_numbers(preset["network"]))
        yield "training", f"{training['steps']:,} steps of {training['batch']} patches of {training['patch']} HR pixels"
        yield "best by", training["best"]
        yield "use", f"srbench train {model} --preset {name} --data DIR"


def _numbers(table: dict[str, object]) -> Iterator[str]:
    for key, value in table.items():
        yield from _numbers(value) if isinstance(value, dict) else [f"{key} {value}"]


def _weights(name: str) -> Iterator[Fact]:
    from srbench.weights.table import cached_path, find_released

    entry, path = find_released(name), cached_path(name)
    yield "model", f"{entry.model}, preset {entry.preset}"
    yield "file", entry.file
    yield "licence", entry.licence
    yield "trained on", entry.trained_on
    yield "sha256", entry.sha256 or "unknown"
    yield "here", f"yes, {path}" if path.is_file() else f"no; srbench weights fetch {name}"
    for address in entry.addresses:
        yield "address", address
    yield "use", f"srbench run --models {entry.model}:{name}"


_FACTS: dict[str, Callable[[str], Iterator[Fact]]] = {
    "model": _model,
    "metric": _metric,
    "dataset": _dataset,
    "benchmark set": _benchmark_set,
    "suite": _suite,
    "degradation": _degradation,
    "preset": _preset,
    "weights": _weights,
}
"""Functions that yield the facts of a name, by kind."""
