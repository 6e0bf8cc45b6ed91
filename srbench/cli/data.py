"""Commands that fetch benchmark sets and prepare training data. Imports that load torch are inside them."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli import options
from srbench.terminal.output import show


@click.group()
def data() -> None:
    """Fetch benchmark sets, prepare training data.

    srbench list datasets shows the sets.
    """


@data.command("fetch")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def fetch_sets(names: tuple[str, ...]) -> None:
    """Download benchmark sets, for --data NAME.

    The sets are kept in the user's cache. If a set has only HR images, LR is made from them.
    """
    from srbench.data.benchmark_sets.fetch import fetch_set

    for name in names:
        show(fetch_set(name))


@data.command()
@click.argument("dataset", metavar="DATASET", type=click.Choice(["celeba", "celeba-aligned", "div2k", "flickr2k"]))
@click.argument("source", type=options.PATH)
@options.folder("--out", help="Folder to write. [default: data/DATASET]")
def prepare(dataset: str, source: Path, out: Path | None) -> None:
    """Convert a published dataset to folders of HR images.

    SOURCE is the folder with the downloaded files (docs/data.md says which). Existing images are kept. DATASET is

    \b
    celeba          faces, 160x160, upright, as cropped by SRFlow's authors
    celeba-aligned  faces, 160x160, the centres of CelebA's aligned images
    div2k           800 training and 100 validation images
    flickr2k        2650 training images
    """  # noqa: D301 - click's mark
    from srbench.data.prepare.archives import prepare_div2k, prepare_flickr2k
    from srbench.data.prepare.celeba import prepare_celeba, prepare_celeba_aligned

    datasets = {
        "celeba": prepare_celeba,
        "celeba-aligned": prepare_celeba_aligned,
        "div2k": prepare_div2k,
        "flickr2k": prepare_flickr2k,
    }
    datasets[dataset](source, out or Path("data") / dataset)
