"""Commands that train models. Imports that load torch are inside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from srbench.cli import completion, options
from srbench.terminal.output import show


@click.command(
    epilog=options.examples(
        "srbench train srflow --preset mini-x8 --dry-run",
        "srbench train srflow --preset mini-x8 --data photographs/train",
        "srbench train --resume runs/srflow-mini-x8",
        "torchrun --nproc-per-node 4 -m -- srbench train --resume runs/rrdb-mini-x8",
    )
)
@click.argument("name", required=False, metavar="[MODEL]", shell_complete=completion.TRAINERS)
@options.preset(
    help="Network size and schedule: NAME (srbench list presets) or a TOML file. [required without --resume]"
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completion.KEYS,
    help="Change a value of the preset, such as training.steps=1000. May be repeated.",
)
@options.folder("--data", multiple=True, help="Folder of HR images, from which LR is made. May be repeated.")
@options.folder("--hr", multiple=True, help="Folder of HR images, with --lr, instead of --data. May be repeated.")
@options.folder("--lr", multiple=True, help="Folder of LR images, paired with --hr by file name. May be repeated.")
@options.folder(
    "--validation",
    help="Folder of HR images for validation. [default: a few images of --data, "
    "held out of training if it has ten or more]",
)
@click.option(
    "--start",
    type=options.PATH,
    metavar="FILE|TRAINING|NAME",
    help="Weights to start from: a file, the folder of a training, or the name of packaged or fetched ones. "
    "[default: random for rrdb, else the packaged model that this model builds on, such as rrdb for srflow]",
)
@options.folder("--out", help="Folder of the training. [default: runs/MODEL-PRESET]")
@options.log_with(
    help="Also send losses and metrics to a tracker, which must be installed. TensorBoard writes into the folder. "
    "[default: none]",
)
@options.device()
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only take three steps on noise; print their time, memory and operations, and the hours of the training. "
    "Works without images and initial weights.",
)
@click.option(
    "--resume",
    type=options.PATH,
    metavar="TRAINING",
    help="Resume the training in this folder, with its original options.",
)
def train(name: str | None, device: str, resume: Path | None, **typed: object) -> None:
    """Train a model on folders of images.

    MODEL is a model with presets (srbench list presets), such as srflow. If interrupted, rerun the same command to
    resume.
    """
    requested = {option: value for option, value in typed.items() if value}
    _check(name, resume, requested)

    import warnings

    from srbench.metrics.suite import validation_metrics
    from srbench.models.inference import choose_device
    from srbench.plugins.registry import call, find_plugin
    from srbench.training.folder import resumed
    from srbench.training.request import Trainer, TrainingRequest

    if os.environ.get("RANK", "0") != "0":
        warnings.simplefilter("ignore")  # process 0 shows them
    metrics = () if "dry_run" in requested else validation_metrics()
    if resume is not None:
        name, request = resumed(resume, choose_device(device), metrics)
    else:
        requested["data"] = requested.pop("hr", None) or requested.get("data", ())
        requested.setdefault("out", Path("runs") / f"{name}-{Path(str(requested['preset'])).stem}")
        request = TrainingRequest(**requested, device=choose_device(device), metrics=metrics)  # type: ignore[arg-type]
    trainer: Trainer = find_plugin("trainers", str(name)).factory
    weights = call(f"trainer {name}", trainer, request) if ":" in str(name) else trainer(request)
    if os.environ.get("RANK", "0") == "0" and "dry_run" not in requested:
        show(weights)


def _check(name: str | None, resume: Path | None, requested: Mapping[str, object]) -> None:
    """Raise UsageError for missing options, and for options that exclude each other."""
    images = requested.keys() & {"data", "hr", "lr"}
    allowed = [{"data"}, {"hr", "lr"}, *([set()] if "dry_run" in requested else [])]
    if resume is not None:
        if name or requested:
            raise click.UsageError("--resume takes everything else from the training folder; leave other options out.")
    elif not (name and "preset" in requested and (images or "dry_run" in requested)):
        raise click.UsageError("Give a model, --preset, and --data or --hr and --lr; or --resume TRAINING.")
    elif images not in allowed:
        raise click.UsageError("Give --data DIR, from which LR is made, or --hr DIR and --lr DIR, paired by file name.")
    elif "lr" in requested and "validation" in requested:
        raise click.UsageError(
            "--lr and --validation exclude each other: with --lr, some pairs are held out for validation."
        )
