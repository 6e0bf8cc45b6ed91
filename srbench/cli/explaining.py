"""The command that explains published numbers. Imports that load torch are inside it."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli import options
from srbench.terminal.output import show
from srbench.terminal.progress import shown_progress


@click.command()
@click.argument("values", metavar="VALUE,...")
@options.metrics(required=True, help="One metric per VALUE, or one for all of them: psnr, ssim, lpips or niqe.")
@options.folder("--sr", required=True, help="Folder of the outputs that were measured.")
@options.folder("--hr", required=True, help="Folder of HR images, paired by file name.")
@options.folder("--lr", help="Folder of LR images, which give the scale instead of --scale.")
@options.scale(help="Scale, by which protocols crop the border. [default: that of --lr; else 2, 3, 4 and 8 are tried]")
@click.option("--measured", metavar="VALUE,...", help="What you measured instead, also explained. [default: nothing]")
@click.option("--all", "in_full", is_flag=True, help="Name all protocols that print a VALUE, instead of the first 8.")
@options.measuring_workers(
    help="Worker processes, one thread each. [default: one per core, at most 8 and one per 2 images]"
)
def explain(
    values: str,
    metrics: tuple[str, ...],
    sr: Path,
    hr: Path,
    lr: Path | None,
    scale: int | None,
    measured: str | None,
    in_full: bool,
    workers: int | None,
) -> None:
    """Find the protocol of a published number.

    Computes the metric (psnr, ssim, lpips, niqe) in every way in use, and names those that print VALUE at its digits,
    with the --metrics to use; the most common first. Several values, one for each metric, are explained as a row of a
    table. docs/explain.md shows how to read it.
    """
    from srbench.benchmark.explain.search import explain as search

    with shown_progress(f"reading {sr}") as progress:
        found = search(
            values, metrics, sr=sr, hr=hr, lr=lr, scale=scale, measured=measured, progress=progress, workers=workers
        )
    show(found.text(None if in_full else 8))
