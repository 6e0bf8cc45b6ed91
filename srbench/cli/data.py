"""Commands that fetch benchmark sets and write LR images. They import torch inside."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli import completion, options
from srbench.terminal.output import show
from srbench.terminal.progress import Step, shown_progress


@click.group()
def data() -> None:
    """Fetch benchmark sets, degrade images.

    srbench list datasets shows the sets.
    """


@data.command("fetch", epilog=options.examples("srbench data fetch set5 set14"))
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=completion.SETS)
def fetch_sets(names: tuple[str, ...]) -> None:
    """Download benchmark sets, for --data NAME.

    The sets are kept in the user's cache. If a set has only HR images, LR is made from them.
    """
    from srbench.data.benchmark_sets.fetch import fetch_set

    for name in names:
        show(fetch_set(name))


@data.command(epilog=options.examples("srbench data degrade photographs --degrade real-esrgan --scale 4 --out LR"))
@click.argument("hr", metavar="DIR", type=options.PATH)
@click.option(
    "--degrade",
    metavar="NAME|FILE",
    required=True,
    shell_complete=completion.DEGRADATIONS,
    help="How LR is made (srbench list degradations).",
)
@options.scale(required=True, help="Downscaling factor; 1 for a degradation that keeps the size.")
@options.folder("--out", required=True, help="Folder to write.")
def degrade(hr: Path, degrade: str, scale: int, out: Path) -> None:
    """Write LR images made from a folder of HR images.

    They are those of srbench run --degrade: PNG files with the names of the HR images. The random numbers of an image
    depend on the degradation, the scale and the pixels of HR alone; NAME+seed=1 takes others. A file with other
    contents is not overwritten.
    """
    from srbench.data.datasets import Folder, lr_origin
    from srbench.data.degradations.read import degraded, read_degradation
    from srbench.files.atomic import write_new
    from srbench.images.io import encode_png, quantize_round

    with shown_progress(f"reading {hr}") as progress:
        dataset = degraded(Folder(hr, scale), scale, read_degradation(degrade))
        for done, name in enumerate(dataset):
            progress(Step(done, len(dataset), name))
            write_new(out / f"{name}.png", encode_png(quantize_round(dataset.read(name).lr)))
        progress(Step(len(dataset), len(dataset), ""))
    show(f"{len(dataset)} LR images in {out}, {lr_origin(dataset)}")
