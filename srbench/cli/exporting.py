"""The command that writes a training, a network or a run for other programs. Imports that load torch are inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from srbench.cli import options
from srbench.interfaces import TEMPERATURE
from srbench.terminal.output import say, show

_GIVEN = {
    "weights": {"best", "licence", "temperature"},
    "onnx": {"scale"},
    "hf-eval": {"dataset", "url"},
}
"""Options that go with each format, besides --out."""


@click.command()
@click.argument("source", metavar="RUN|TRAINING|MODEL")
@click.option(
    "--as",
    "form",
    type=click.Choice([*_GIVEN]),
    default="weights",
    metavar="FORMAT",
    help="Format: hf-eval of a RUN, weights of a TRAINING, onnx of a MODEL.",
)
@click.option(
    "--out",
    type=options.PATH,
    metavar="DIR|FILE",
    help="Folder for a RUN, or file. [default: hf-eval/ for a RUN, MODEL-PRESET.safetensors, or MODEL-xSCALE.onnx]",
)
@click.option(
    "--dataset",
    metavar="NAME",
    help="Name of a RUN's data on the Hugging Face Hub, such as owner/name. [default: the name in the run]",
)
@click.option(
    "--url", metavar="URL", help="Address at which a RUN can be read, stated as its source. [default: not stated]"
)
@click.option("--best", is_flag=True, help="For a TRAINING, the weights with the best validation instead of the last.")
@click.option(
    "--licence", metavar="TEXT", help="Licence of the weights of a TRAINING, such as CC-BY-4.0. [default: not stated]"
)
@options.temperature(
    help="Temperature at which reports compare the weights of a TRAINING, chosen on validation images. "
    f"[default: not stated, and so {TEMPERATURE:g}]"
)
@options.scale(help="Scale of a MODEL. [default: that of its weights]")
def export(source: str, form: str, out: Path | None, **values: Any) -> None:  # noqa: ANN401 - click's
    """Export results of a run, trained weights, or ONNX.

    A RUN is written as the Hugging Face Hub reads it in the repository of a model (.eval_results). TRAINING is the
    folder of a finished training, whose weights are written as one file, with a model card (.md) beside it. MODEL is a
    network with one output, such as rrdb or rrdb:TRAINING.
    """
    for name, value in values.items():
        if value is not None and value is not False and name not in _GIVEN[form]:
            forms = " or ".join(f"--as {other}" for other, names in _GIVEN.items() if name in names)
            raise click.UsageError(f"--{name} goes with {forms}.")
    given = {name: values[name] for name in _GIVEN[form]}
    if form == "onnx":
        from srbench.models.onnx_export import export_onnx

        show(export_onnx(source, out, **given))
    elif form == "weights":
        from srbench.training.export import export as export_weights

        for path in export_weights(Path(source), out, **given):
            show(path)
    else:
        from srbench.matrix.folder import runs_in
        from srbench.reporting.exports import export_runs

        done = export_runs(runs_in(Path(source)), out, **given)
        for sentence in done.left_out:
            say(f"left out: {sentence}")
        for path in done.files:
            show(path)
