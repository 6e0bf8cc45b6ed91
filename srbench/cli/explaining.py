"""``srbench explain``. Imports that load torch are inside the function."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli import options
from srbench.terminal.output import show
from srbench.terminal.progress import shown_progress


@click.command(epilog=options.examples("srbench explain 23.20 --metrics psnr --sr outputs --hr HR --scale 8"))
@click.argument("values", metavar="VALUE,...")
@options.metrics(
    required=True, help="One metric per VALUE, or one for all of them: psnr, ssim, lpips, niqe, fid, kid or pyiqa:NAME."
)
@options.folder("--sr", required=True, help="Folder of the outputs behind the published numbers.")
@options.folder("--hr", required=True, help="Folder of HR images, paired by file name.")
@options.folder("--lr", help="Folder of LR images, from which the scale is computed, instead of --scale.")
@options.scale(help="Upscaling factor, by which protocols crop the border. [default: from --lr; else tries 2, 3, 4, 8]")
@click.option("--measured", metavar="VALUE,...", help="Your own numbers, to explain too. [default: none]")
@click.option("--all", "in_full", is_flag=True, help="List all protocols that give a VALUE, not only the first 8.")
@options.device(help="Device of lpips, fid, kid and pyiqa:NAME; auto takes a GPU if there is one.")
@options.measuring_workers(
    help="Worker processes, one thread each. [default: one per core, at most 8 and one per 2 images; if a metric "
    "runs on a GPU, at most one per 2 GB of its free memory]"
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
    device: str,
    workers: int | None,
) -> None:
    """Find the protocol behind a published number.

    Computes the metric (psnr, ssim, lpips, niqe, fid, kid, or all variants of pyiqa:NAME) under every protocol in use
    and lists those that give VALUE, the most common first, with the --metrics that reproduce it. Beside each stands the
    chance of coincidence: the share of the numbers near VALUE that protocols at least as common give. Several values,
    one per metric, are explained together, as one row of a table. docs/explain.md shows how to read the output.
    """
    from srbench.explaining.search import explain as search

    with shown_progress(f"reading {sr}") as progress:
        explanation = search(
            values,
            metrics,
            sr=sr,
            hr=hr,
            lr=lr,
            scale=scale,
            measured=measured,
            progress=progress,
            workers=workers,
            device=device,
        )
    show(explanation.text(None if in_full else 8))
