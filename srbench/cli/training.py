"""Commands that train models. Imports that load torch are inside them."""

from __future__ import annotations

import os
from pathlib import Path

import click

from srbench.cli import options
from srbench.cli.terminal import show

_EXAMPLES = """\b
srbench train srflow --preset mini-x8 --data photographs/train
srbench train --resume runs/srflow-mini-x8
torchrun --nproc-per-node 4 -m srbench train srflow --preset celeba-x8 --data celeba
"""


@click.command(epilog=_EXAMPLES)
@click.argument("name", required=False)
@click.option("--preset", help="Network size and training schedule: a name (srbench list presets) or a TOML file.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Override a value of the preset, such "
              "as training.learning_rate=1e-4. Repeatable.")  # fmt: skip
@options.folder("--data", multiple=True, help="Folder of HR images. Repeatable.")
@options.folder("--lr", multiple=True, help="Folder of LR images, paired with --data by name. "
                "[default: downscaled from HR]")  # fmt: skip
@options.folder("--validation", help="Folder of HR images for validation. [default: a few of --data, held out if "
                "there are ten or more]")  # fmt: skip
@click.option("--start", type=options.PATH, help="Initial weights: a file, or a training folder.")
@click.option("--out", type=options.PATH, help="Training folder. [default: runs/NAME-PRESET]")
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard logs to the training folder.")
@options.device()
@click.option("--resume", type=options.PATH, metavar="RUN", help="Resume the training in this folder.")
def train(name: str | None, device: str, resume: Path | None, **given: object) -> None:
    """Train the model NAME. If interrupted, rerun the same command to resume."""
    asked = {option: value for option, value in given.items() if value}
    if resume is not None and (name or asked):
        raise click.UsageError("--resume takes everything else from the training folder; leave the other options out.")
    if resume is None and not (name and "preset" in asked and "data" in asked):
        raise click.UsageError("Give a model, --preset and --data; or --resume RUN.")
    if "lr" in asked and "validation" in asked:
        raise click.UsageError("--lr and --validation exclude each other: with --lr, some pairs are held out.")

    import warnings

    from srbench.interfaces import TrainingRequest
    from srbench.metrics.suite import leading_metrics
    from srbench.models.inference import choose_device
    from srbench.plugins.registry import load_trainer
    from srbench.training.folder import resumed
    from srbench.weights.files import weights_in

    if os.environ.get("RANK", "0") != "0":
        warnings.simplefilter("ignore")  # process 0 has shown it
    if "start" in asked:
        asked["start"] = weights_in(Path(str(asked["start"])))
    metrics = leading_metrics()
    if resume is not None:
        name, request = resumed(resume, choose_device(device), metrics)
    else:
        asked.setdefault("out", Path("runs") / f"{name}-{Path(str(asked['preset'])).stem}")
        request = TrainingRequest(**asked, device=choose_device(device), metrics=metrics)  # type: ignore[arg-type]
    weights = load_trainer(str(name))(request)
    if os.environ.get("RANK", "0") == "0":
        show(weights)


@click.command()
@click.argument("run", metavar="RUN|MODEL")
@click.option(
    "--out", type=options.PATH, metavar="FILE", help="Weights file to write. [default: MODEL-PRESET.safetensors]"
)
@click.option("--best", is_flag=True, help="Export the weights with the best validation instead of the last.")
@click.option("--licence", help="Licence of the weights. [default: not stated]")
@options.folder("--onnx", metavar="FILE", help="Export MODEL, such as rrdb or rrdb:RUN, as an ONNX file instead.")
@click.option("--scale", type=click.IntRange(min=2), help="Scale of MODEL. [default: that of the weights file]")
def export(run: str, out: Path | None, best: bool, licence: str | None, onnx: Path | None, scale: int | None) -> None:
    """Export a finished training as one weights file.

    Writes a model card (.md) beside it.
    """
    if onnx is not None:
        if out or best or licence:
            raise click.UsageError("--onnx takes no --out, --best and --licence; they are of weights files.")
        from srbench.models.onnx_export import export_onnx

        export_onnx(run, onnx, scale)
        show(onnx)
        return
    if scale is not None:
        raise click.UsageError("--scale goes with --onnx; a training has its own.")
    from srbench.training.export import export as export_weights

    for path in export_weights(Path(run), out, best=best, licence=licence):
        show(path)
