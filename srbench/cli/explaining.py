"""The command that explains published numbers. Imports that load torch are inside it."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli import options
from srbench.cli.terminal import show, shown_progress


def _values(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


@click.command()
@click.argument("values", metavar="VALUE,...", type=_values)
@options.metrics(required=True, help="Metric of each value.")
@options.folder("--sr", required=True, help="Folder of outputs.")
@options.folder("--hr", required=True, help="Folder of HR images, paired by file name.")
@options.folder("--lr", help="Folder of LR images, which tells the scale.")
@options.scale(
    help="Scale, by which borders are cropped. [default: that of --lr; else those of 2, 3, 4 and 8 are tried]"
)
@click.option("--measured", type=_values, metavar="VALUE,...", help="What you measured instead, explained too.")
@click.option("--all", "in_full", is_flag=True, help="Name all protocols that print a value.")
@click.option("--workers", type=options.POSITIVE, metavar="N", help="Worker processes, one thread each. [default: one "
              "per core, at most 8]")  # fmt: skip
def explain(
    values: tuple[str, ...], metrics: tuple[str, ...], sr: Path, hr: Path, lr: Path | None, scale: int | None,
    measured: tuple[str, ...] | None, in_full: bool, workers: int | None,
) -> None:  # fmt: skip
    """Find the protocols under which images have a published VALUE.

    Computes the metric (psnr, ssim, lpips, niqe) in every way in use, and names those that print VALUE at its digits,
    with the --metrics to use; the most common first. Several values, one for each metric, are explained as a row of a
    table. docs/explain.md shows how to read it.
    """
    from srbench.benchmark.explain.search import explain as search

    with shown_progress() as progress:
        found = search(
            values, metrics, sr=sr, hr=hr, lr=lr, scale=scale, measured=measured, progress=progress, workers=workers
        )
    show(found.text(None if in_full else 8))
