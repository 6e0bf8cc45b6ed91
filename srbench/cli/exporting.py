"""``srbench export``. Imports that load torch are inside the function."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from srbench.cli import completion, options
from srbench.interfaces import TEMPERATURE
from srbench.terminal.output import show

_GIVEN = {
    "weights": {"best", "licence", "temperature", "run"},
    "onnx": {"scale"},
}
"""Options that each format takes, besides --out."""


@click.command(
    epilog=options.examples(
        "srbench export runs/srflow --out srflow-x8.safetensors --licence CC-BY-4.0",
        "srbench export runs/srflow --out srflow-x8.safetensors --run runs/mine",
        "srbench export rrdb --as onnx --scale 4",
    )
)
@click.argument("source", metavar="TRAINING|MODEL", shell_complete=completion.MODELS)
@click.option(
    "--as",
    "form",
    type=options.Choice([*_GIVEN]),
    default="weights",
    metavar="FORMAT",
    help="Format: weights of a TRAINING, onnx of a MODEL.",
)
@click.option(
    "--out",
    type=options.PATH,
    metavar="FILE",
    help="File to write. [default: MODEL-PRESET.safetensors or MODEL-xSCALE.onnx]",
)
@click.option(
    "--best", is_flag=True, help="Of a TRAINING, export the weights with the best validation score, not the last ones."
)
@click.option(
    "--licence", metavar="TEXT", help="Licence of the weights of a TRAINING, such as CC-BY-4.0. [default: not stated]"
)
@options.temperature(
    help="Temperature at which the weights of a TRAINING are sampled by default, and compared, chosen on validation "
    "images. "
    f"[default: not stated, which means {TEMPERATURE:g}]"
)
@click.option(
    "--run",
    type=options.PATH,
    metavar="RUN",
    help="Run that measured the weights of a TRAINING; its means and intervals go into the model card. [default: none]",
)
@options.scale(help="Scale of a MODEL. [default: the scale of its weights]")
def export(source: str, form: str, out: Path | None, **values: Any) -> None:  # noqa: ANN401 - click's
    """Export trained weights, or a model as ONNX.

    TRAINING is the folder of a training; its last weights are exported as one file with a model card (.md) beside it,
    whose YAML header hubs read. MODEL is a network with one output, such as rrdb or rrdb:TRAINING.
    """
    for name, value in values.items():
        if value is not None and value is not False and name not in _GIVEN[form]:
            forms = " or ".join(f"--as {taker}" for taker, names in _GIVEN.items() if name in names)
            raise click.UsageError(f"--{name} goes with {forms}.")
    given = {name: values[name] for name in _GIVEN[form]}
    if form == "onnx":
        from srbench.models.onnx_export import export_onnx

        show(export_onnx(source, out, **given))
    else:
        from srbench.reporting.writers.model_index import results_of_weights
        from srbench.training.export import export as export_weights

        run = given.pop("run")
        results_of = None if run is None else partial(results_of_weights, run)
        for path in export_weights(Path(source), out, **given, results_of=results_of):
            show(path)
