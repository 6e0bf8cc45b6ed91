"""Commands that list and describe what is installed. Imports that load torch are inside them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import click

from srbench.cli.terminal import show
from srbench.interfaces import MetricFacts, SRBenchError, WeightsInfo

_KINDS = ("models", "metrics", "datasets", "suites", "degradations", "presets", "weights")


@click.command("list")
@click.argument("kind", type=click.Choice(_KINDS))
def list_command(kind: str) -> None:
    """List what is installed: models, metrics, datasets and more."""
    own = {"suites": _suites, "presets": _presets, "models": _models, "degradations": _degradations}
    if kind == "weights":
        _list_weights()
        return
    rows = [*(own[kind]() if kind in own else _others(kind))]
    if kind == "datasets":
        rows = [*_datasets(rows), *_benchmark_sets()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        show("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))


def _suites() -> Iterator[tuple[str, ...]]:
    from srbench.metrics.suite import read_suite, suite_names

    for name in suite_names():
        yield read_suite(name).label, read_suite(name).about


def _degradations() -> Iterator[tuple[str, ...]]:
    from srbench.data.degradations.read import degradation_names, read_degradation

    for name in degradation_names():
        found = read_degradation(name)
        yield name, found.about, found.words


def _datasets(rows: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    for name, about in rows:
        yield name, "packaged", "", "", about


def _benchmark_sets() -> Iterator[tuple[str, ...]]:
    """Name, place, contents, how it is known, source and licence of every set that can be fetched."""
    from srbench.data.benchmark_sets.table import benchmark_sets, is_here

    for name, entry in benchmark_sets().items():
        here = "here" if is_here(name) else "not here"
        count = len(entry.addresses)
        source = f"{count} address{'es' * (count > 1)}" if count else f"by hand from {entry.page}"
        yield name, here, entry.contents, f"known by {entry.known_by}", f"{source}; licence: {entry.licence}"


def _list_weights() -> None:
    from srbench.weights.table import cached_path, released_weights

    for name, entry in released_weights().items():
        state = "downloaded" if cached_path(name).is_file() else "not downloaded"
        show(f"{name}  ({state})")
        show(f"  {entry.file}, licence {entry.licence}, trained on {entry.trained_on}")
        show(f"  sha256 {entry.sha256 or 'unknown'}")
        for address in entry.addresses:
            show(f"  {address}")


def _presets() -> Iterator[tuple[str, ...]]:
    """Model, name, steps and first comment line of every preset."""
    from srbench.plugins.registry import registered
    from srbench.system.config import preset_names

    for model, point in registered("presets").items():
        folder = point.load()
        for name in preset_names(folder):
            text = (folder / f"{name}.toml").read_text(encoding="utf-8")
            steps = tomllib.loads(text)["training"]["steps"]
            yield model, name, f"{steps:,} steps", text.splitlines()[0].removeprefix("# ")


def _models() -> Iterator[tuple[str, ...]]:
    """Name, scales, parameters, licence and description of every registered model."""
    from srbench.models.loading import ready_models

    for name, about in _others("models"):
        try:
            ready = ready_models(name)
        except SRBenchError as error:
            yield name, "", "", "", about if about.startswith("broken: ") else f"{about} Needs weights: {error}"
            continue
        weights = [model.weights for model in ready.values() if model.weights is not None]
        sizes = [f"{one.parameters / 1e6:.1f} M" for one in weights if one.parameters is not None]
        licences = ", ".join(sorted({one.licence for one in weights}))
        parameters = f"{', '.join(sizes)} parameters" if sizes else "no weights"
        yield name, ", ".join(f"{scale}x" for scale in ready), parameters, licences, about


def _others(kind: str) -> Iterator[tuple[str, str]]:
    from srbench.plugins.registry import FAMILIES, describe, registered

    for name in registered(kind):
        try:
            yield name, _first_line(describe(kind, name))
        except SRBenchError as error:  # a broken plug-in must not hide the others
            yield name, f"broken: {error}"
    for name in registered(FAMILIES) if kind == "metrics" else ():
        yield f"{name}:NAME", _first_line(describe(FAMILIES, name))


def _first_line(docstring: str) -> str:
    return docstring.splitlines()[0].replace("``", "")


@click.command("show")
@click.argument("name")
def show_command(name: str) -> None:
    """Show details of a model, metric, dataset or suite."""
    from srbench.metrics.suite import suite_names
    from srbench.models.loading import SCALES, ready_models
    from srbench.plugins.registry import KINDS, describe, load_dataset, open_metric, registered
    from srbench.system.file_names import unknown

    kinds = [kind for kind in KINDS if name in registered(kind)]
    if not kinds and name not in suite_names():
        every = {known for kind in KINDS for known in registered(kind)}
        raise SRBenchError(unknown("name", name, every | set(suite_names())))
    if name in suite_names():
        _show_suite(name)
    for kind in kinds:
        point = registered(kind)[name]
        show(f"{kind.removesuffix('s')} {name} ({point.value})\n\n{describe(kind, name)}\n")
        if kind == "metrics":
            show(_metric_sentence(open_metric(name).facts))
        if kind == "datasets":
            show(f"{len(load_dataset(name, SCALES[0]))} images")
        if kind == "models":
            for scale, model in ready_models(name).items():
                show(f"{scale}x: {_weights_sentence(model.weights)}")


def _show_suite(name: str) -> None:
    from srbench.metrics.suite import open_metrics, read_suite

    suite = read_suite(name)
    show(f"suite {suite.label}: {suite.about}\n")
    for metric in open_metrics(None, suite.metrics, suite.quantize):
        show(f"{metric.facts.signature}\n{_metric_sentence(metric.facts)}\n")
    if suite.optional:
        show(f"and, where they can be loaded: {', '.join(suite.optional)}")


def _metric_sentence(metric: MetricFacts) -> str:
    direction = ("neither higher nor lower", "higher", "lower")[metric.direction]
    unit = f", in {metric.unit}" if metric.unit else ""
    return f"{metric.title}: {direction} is better{unit}. Protocol: {metric.protocol}."


def _weights_sentence(weights: WeightsInfo | None) -> str:
    if weights is None:
        return "no weights needed"
    count = "unknown" if weights.parameters is None else f"{weights.parameters:,}"
    origin = f"licence {weights.licence}, trained on {weights.trained_on}, sha256 {weights.sha256}"
    return f"{count} parameters, {origin}"


@click.command()
def doctor() -> None:
    """Check the installation. Exit code 1 if something is missing."""
    from srbench.cli.doctor import findings

    healthy = True
    for fine, name, value in findings():
        healthy &= fine
        show(f"{'ok     ' if fine else 'MISSING'}  {name}: {value}")
    if not healthy:
        raise click.exceptions.Exit(1)
