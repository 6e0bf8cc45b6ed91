"""The commands that train models. Whatever loads torch is imported inside them."""

from __future__ import annotations

import os
from pathlib import Path

import click

from srbench.cli.options import DEVICES

METRICS = ("psnr", "lr_psnr", "lpips")
"""What validation measures."""
_EXAMPLES = """\b
srbench train srflow --preset mini-x8 --data photographs
srbench train --resume runs/srflow-mini-x8
torchrun --nproc-per-node 4 -m srbench train srflow --preset celeba-x8 --data celeba
"""
_PATH = click.Path(path_type=Path)


@click.command(epilog=_EXAMPLES)
@click.argument("name", required=False)
@click.option("--preset", help="Size of the network and length of the training: a name, or a TOML file.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value of the preset: "
              "training.learning_rate=1e-4. As often as you like.")  # fmt: skip
@click.option("--data", multiple=True, type=_PATH, metavar="DIR", help="Folder of HR pictures; several are joined.")
@click.option("--lr", multiple=True, type=_PATH, metavar="DIR", help="LR pictures, paired with --data by name. "
              "[default: made from HR]")  # fmt: skip
@click.option("--validation", type=_PATH, metavar="DIR", help="HR pictures to validate on. [default: some of --data, "
              "which are then not trained on where there are ten or more]")  # fmt: skip
@click.option("--start", type=_PATH, help="Weights to start from: a file, or the folder of a training.")
@click.option("--out", type=_PATH, help="Folder of the training. [default: runs/NAME-PRESET]")
@click.option("--tensorboard", is_flag=True, help="Write for TensorBoard too, into the folder of the training.")
@click.option("--device", default="auto", show_default=True, type=DEVICES)
@click.option("--resume", type=_PATH, metavar="RUN", help="Go on with the training in this folder, as it was begun.")
def train(name: str | None, device: str, resume: Path | None, **given: object) -> None:
    """Train the model NAME. Killed, the same command goes on from its last checkpoint."""
    asked = {option: value for option, value in given.items() if value}
    if resume is not None and (name or asked):
        raise click.UsageError("--resume takes all else from the folder of the training; leave it out.")
    if resume is None and not (name and "preset" in asked and "data" in asked):
        raise click.UsageError("Name a model, --preset and --data; or a training to go on with: --resume RUN.")
    if "lr" in asked and "validation" in asked:
        raise click.UsageError("With --lr some pairs are held out to validate on; leave --validation out.")

    import warnings

    from srbench.console import show, warn_in_one_line
    from srbench.inference import choose_device
    from srbench.registry import load_metric, load_trainer
    from srbench.training.resume import resumed
    from srbench.types import TrainingRequest
    from srbench.weights.files import weights_in

    warn_in_one_line()
    if os.environ.get("RANK", "0") != "0":
        warnings.simplefilter("ignore")  # process 0 has said it
    if "start" in asked:
        asked["start"] = weights_in(Path(str(asked["start"])))
    metrics = tuple(map(load_metric, METRICS))
    if resume is not None:
        name, request = resumed(resume, choose_device(device), metrics)
    else:
        asked.setdefault("out", Path("runs") / f"{name}-{Path(str(asked['preset'])).stem}")
        request = TrainingRequest(**asked, device=choose_device(device), metrics=metrics)  # type: ignore[arg-type]
    weights = load_trainer(str(name))(request)
    if os.environ.get("RANK", "0") == "0":
        show(f"{weights}")


@click.command()
@click.argument("run", type=_PATH)
@click.option("--out", type=_PATH, metavar="FILE", help="[default: MODEL-PRESET.safetensors in this folder]")
@click.option("--best", is_flag=True, help="The weights with the best validation, not those at the end.")
@click.option("--licence", help="Of the weights: what you allow others. [default: not stated]")
def export(run: Path, out: Path | None, best: bool, licence: str | None) -> None:
    """Make one weights file of the finished training RUN, to give to others, and its model card (.md) beside it."""
    from srbench.console import show
    from srbench.reporting.model_card import write_model_card
    from srbench.training.export import default_name
    from srbench.training.export import export as write_weights

    path = out or Path(default_name(run))
    metadata = write_weights(run, path, best=best, licence=licence)
    card = write_model_card(path, metadata)
    show(f"{path}")
    show(f"{card}")
