"""``srbench list``. Imports that load torch are inside the functions."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srbench.cli import options
from srbench.interfaces import SRBenchError
from srbench.terminal.output import say, show
from srbench.words import listed, number_of

if TYPE_CHECKING:
    from srbench.run_folder.overview import Overview

_KINDS = ("models", "metrics", "datasets", "suites", "degradations", "presets", "weights", "runs")


@click.command("list", epilog=options.examples("srbench list models", "srbench list runs"))
@click.argument("kind", metavar="KIND", type=click.Choice(_KINDS))
@click.argument("folder", metavar="[DIR]", required=False, type=options.PATH)
def list_command(kind: str, folder: Path | None) -> None:
    """List models, metrics, datasets, suites, or your runs.

    \b
    models        ready to run by name, and the scales of their packaged weights
    metrics       columns of the table
    datasets      packaged photographs, and benchmark sets by name
    suites        protocols: which metrics, computed how
    degradations  ways to make LR from HR
    presets       network sizes and schedules for srbench train
    weights       released by the authors; whether they are on this machine
    runs          run folders in DIR: images done, date [default: runs]

    srbench show NAME describes any of them.
    """  # noqa: D301 - click's mark
    if folder is not None and kind != "runs":
        raise click.UsageError("DIR goes with srbench list runs.")
    rows: dict[str, Callable[[], Iterable[tuple[str, ...]]]] = {
        "models": _models,
        "metrics": _metrics,
        "datasets": _datasets,
        "suites": _suites,
        "degradations": _degradations,
        "presets": _presets,
        "weights": _weights,
        "runs": lambda: _runs(folder or Path("runs")),
    }
    lines = [*rows[kind]()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    for *cells, last in lines:
        show("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), last]).rstrip())


def _runs(folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield path, models, dataset, scale, images done and requested, samples and start of every run.

    Names damaged runs on stderr. Raises SRBenchError if the folder has no run.
    """
    from srbench.matrix.folder import runs_in
    from srbench.run_folder.manifest import is_run
    from srbench.run_folder.overview import overview

    if not folder.is_dir():
        raise SRBenchError(f"{folder}: no such folder; name the folder of your runs: srbench list runs DIR")
    is_empty = True
    for path in [folder, *sorted(folder.iterdir())]:
        try:
            runs = runs_in(path)
        except (SRBenchError, OSError) as error:  # a damaged matrix, or a matrix without runs
            say(str(error))
            continue
        for run in runs:
            try:
                if is_run(run):
                    is_empty = False
                    yield str(run), *_facts_of_run(overview(run))
            except (SRBenchError, OSError) as error:
                say(str(error))
    if is_empty:
        raise SRBenchError(f"{folder}: no runs in it; srbench run makes one")


def _facts_of_run(run: Overview) -> tuple[str, ...]:
    protocol = run.manifest.protocol
    models = ",".join(model.label for model in run.manifest.models)
    samples = number_of(protocol.samples, "sample")
    done = f"{run.done}/{run.asked} images" + (f" without {listed(run.lacking)}" if run.lacking else "")
    return models, protocol.dataset, f"x{protocol.scale}", done, samples, run.begun


def _suites() -> Iterator[tuple[str, ...]]:
    from srbench.metrics.suite import read_suite, suite_names

    for name in suite_names():
        suite = read_suite(name)
        yield suite.label, suite.about


def _degradations() -> Iterator[tuple[str, ...]]:
    from srbench.data.degradations.read import degradation_names, read_degradation

    for name in degradation_names():
        degradation = read_degradation(name)
        yield name, degradation.about, degradation.words


def _datasets() -> Iterator[tuple[str, ...]]:
    """Yield name, presence, contents, check, and source with licence of every dataset and benchmark set."""
    from srbench.data.benchmark_sets.table import benchmark_sets, is_here
    from srbench.plugins.registry import registered

    for name in registered("datasets"):
        yield name, "here", "", "installed", about("datasets", name)
    for name, entry in benchmark_sets().items():
        here = "here" if is_here(name) else "not here"
        count = len(entry.addresses)
        source = number_of(count, "address", "addresses") if count else f"by hand from {entry.page}"
        yield name, here, entry.contents, f"checked by {entry.known_by}", f"{source}; licence: {entry.licence}"


def _weights() -> Iterator[tuple[str, ...]]:
    """Yield name, presence, file, addresses, and licence with training data of all released weights."""
    from srbench.weights.table import cached_path, released_weights

    for name, entry in released_weights().items():
        state = "here" if cached_path(name).is_file() else "not here"
        source = number_of(len(entry.addresses), "address", "addresses")
        yield name, state, entry.file, source, f"licence: {entry.licence}; trained on {entry.trained_on}"


def _presets() -> Iterator[tuple[str, ...]]:
    """Yield model, name, steps and first comment line of every preset."""
    from srbench.cli.descriptions import presets

    for model, name, text in presets():
        steps = tomllib.loads(text)["training"]["steps"]
        yield model, name, f"{steps:,} steps", text.splitlines()[0].removeprefix("# ")


def _models() -> Iterator[tuple[str, ...]]:
    """Yield name, scales, parameters and licence of the packaged weights, and description of every model."""
    from srbench.cli.descriptions import packaged_weights
    from srbench.plugins.registry import registered

    for name in registered("models"):
        try:
            weights = packaged_weights(name)
        except SRBenchError as error:  # a broken plug-in must not hide the working plug-ins
            yield name, "", "", "", f"broken: {error}"
            continue
        sizes = ", ".join(f"{parameters / 1e6:.1f} M" for _, parameters in weights.values())
        licences = ", ".join(sorted({metadata.licence or "unknown" for metadata, _ in weights.values()}))
        scales = ", ".join(f"{scale}x" for scale in weights)
        yield name, scales, f"{sizes} parameters" if weights else "no weights", licences, about("models", name)


def _metrics() -> Iterator[tuple[str, str]]:
    from srbench.metrics.loading import FAMILIES, FOLDER_METRICS
    from srbench.plugins.registry import registered

    for name in registered("metrics"):
        yield name, about("metrics", name)
    for name in registered(FAMILIES):
        yield f"{name}:NAME", about(FAMILIES, name)
    for name in registered(FOLDER_METRICS):
        yield name, about(FOLDER_METRICS, name)


def about(kind: str, name: str) -> str:
    """Return the first sentence of a plug-in's docstring, or why the plug-in is broken."""
    from srbench.plugins.registry import find_plugin

    try:
        text = find_plugin(kind, name).factory.__doc__ or ""
    except SRBenchError as error:
        return f"broken: {error}"
    return " ".join(text.partition("\n\n")[0].replace("``", "").split()).partition(". ")[0].removesuffix(".")
