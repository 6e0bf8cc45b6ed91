"""The command that lists what is installed, and runs; and doctor. Imports that load torch are inside them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srbench.cli import options
from srbench.interfaces import SRBenchError
from srbench.terminal.output import say, show
from srbench.words import number_of

if TYPE_CHECKING:
    from srbench.run_folder.overview import Overview

_KINDS = ("models", "metrics", "datasets", "suites", "degradations", "presets", "weights", "runs")


@click.command("list")
@click.argument("kind", metavar="KIND", type=click.Choice(_KINDS))
@click.argument("folder", metavar="[DIR]", required=False, type=options.PATH)
def list_command(kind: str, folder: Path | None) -> None:
    """List models, metrics, datasets, suites, or your runs.

    \b
    models        ready to run, by name
    metrics       columns of the table
    datasets      packaged photographs, and benchmark sets by name
    suites        protocols: which metrics, computed how
    degradations  ways to make LR from HR
    presets       network sizes and schedules for srbench train
    weights       released by the authors; whether they are on this machine
    runs          run folders in DIR: images done, date [default: runs]

    srbench show NAME describes one of them.
    """  # noqa: D301 - click's mark
    if folder is not None and kind != "runs":
        raise click.UsageError("DIR goes with srbench list runs.")
    rows: dict[str, Callable[[], Iterable[tuple[str, ...]]]] = {
        "models": _models,
        "metrics": lambda: _others("metrics"),
        "datasets": _datasets,
        "suites": _suites,
        "degradations": _degradations,
        "presets": _presets,
        "weights": _weights,
        "runs": lambda: _runs(folder or Path("runs")),
    }
    _columns(rows[kind]())


def _columns(lines: Iterable[tuple[str, ...]]) -> None:
    """Show lines of equally many cells in columns."""
    rows = [*lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        show("  ".join([*cells, row[-1]]).rstrip())


def _runs(folder: Path) -> Iterator[tuple[str, ...]]:
    """Path, models, dataset, scale, images done and asked for, samples and time of every run.

    Damaged runs are named on stderr. Raises SRBenchError if there is none at all.
    """
    from srbench.matrix.folder import is_matrix, read_matrix
    from srbench.run_folder.manifest import is_run
    from srbench.run_folder.overview import overview

    if not folder.is_dir():
        raise SRBenchError(f"{folder}: no such folder; name the one that holds your runs: srbench list runs DIR")
    found = False
    for path in [folder, *sorted(folder.iterdir())]:
        try:
            runs = [path / cell.name for cell in read_matrix(path).cells] if is_matrix(path) else [path]
        except (SRBenchError, OSError) as error:  # such as a folder of somebody else
            say(str(error))
            continue
        for run in runs:
            try:
                if is_run(run):
                    found = True
                    yield str(run), *_run(overview(run))
            except (SRBenchError, OSError) as error:
                say(str(error))
    if not found:
        raise SRBenchError(f"{folder}: no runs in it; srbench run makes one")


def _run(found: Overview) -> tuple[str, ...]:
    facts = found.manifest.protocol
    models = ",".join(model.label for model in found.manifest.models)
    images, samples = f"{found.done}/{found.asked} images", number_of(facts.samples, "sample")
    return models, facts.dataset, f"x{facts.scale}", images, samples, found.begun


def _suites() -> Iterator[tuple[str, ...]]:
    """Label and origin of every packaged suite."""
    from srbench.metrics.suite import read_suite, suite_names

    for name in suite_names():
        yield read_suite(name).label, read_suite(name).about


def _degradations() -> Iterator[tuple[str, ...]]:
    from srbench.data.degradations.read import degradation_names, read_degradation

    for name in degradation_names():
        found = read_degradation(name)
        yield name, found.about, found.words


def _datasets() -> Iterator[tuple[str, ...]]:
    """Name, place, contents, how it is known, and source and licence of every dataset and benchmark set."""
    from srbench.data.benchmark_sets.table import benchmark_sets, is_here

    for name, words in _others("datasets"):
        yield name, "here", "", "installed", words
    for name, entry in benchmark_sets().items():
        here = "here" if is_here(name) else "not here"
        count = len(entry.addresses)
        source = number_of(count, "address", "addresses") if count else f"by hand from {entry.page}"
        yield name, here, entry.contents, f"checked by {entry.known_by}", f"{source}; licence: {entry.licence}"


def _weights() -> Iterator[tuple[str, ...]]:
    """Name, state, file, licence and data of all released weights."""
    from srbench.weights.table import cached_path, released_weights

    for name, entry in released_weights().items():
        state = "here" if cached_path(name).is_file() else "not here"
        source = number_of(len(entry.addresses), "address", "addresses")
        yield name, state, entry.file, source, f"licence: {entry.licence}; trained on {entry.trained_on}"


def _presets() -> Iterator[tuple[str, ...]]:
    """Model, name, steps and first comment line of every preset."""
    for model, name, text in preset_texts():
        steps = tomllib.loads(text)["training"]["steps"]
        yield model, name, f"{steps:,} steps", text.splitlines()[0].removeprefix("# ")


def preset_texts() -> Iterator[tuple[str, str, str]]:
    """Model, name and text of every preset."""
    from srbench.files.config import preset_names
    from srbench.plugins.registry import registered

    for model, point in registered("presets").items():
        folder = point.load()
        for name in preset_names(folder):
            yield model, name, (folder / f"{name}.toml").read_text(encoding="utf-8")


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
    from srbench.plugins.registry import FAMILIES, registered

    for name in registered(kind):
        try:
            yield name, about(kind, name)
        except SRBenchError as error:  # a broken plug-in must not hide the others
            yield name, f"broken: {error}"
    for name in registered(FAMILIES) if kind == "metrics" else ():
        yield f"{name}:NAME", about(FAMILIES, name)


def about(kind: str, name: str) -> str:
    """First sentence of what a plug-in says of itself. Raises PluginError."""
    from srbench.plugins.registry import describe

    return describe(kind, name).splitlines()[0].replace("``", "").partition(". ")[0].removesuffix(".")


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
