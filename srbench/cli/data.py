"""Commands that fetch benchmark sets and prepare training data. Imports that load torch are inside them."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli.terminal import show

_SOURCE = click.argument("source", type=click.Path(path_type=Path))
_OUT = click.argument("out", type=click.Path(path_type=Path))


@click.group()
def data() -> None:
    """Benchmark sets and training data."""


@data.command("list")
def list_sets() -> None:
    """List the benchmark sets that --data knows: size, licence, whether they are here, and how they are checked."""
    from srbench.data.benchmark_sets.table import benchmark_sets, is_here

    for name, entry in benchmark_sets().items():
        here = "here    " if is_here(name) else "not here"
        known = "pixels known" if entry.pixels else "pixels not confirmed"
        source = f"{len(entry.addresses)} addresses" if entry.addresses else f"by hand from {entry.page}"
        show(f"{name:12}  {here}  {entry.images:4} images  {known:20}  {source}; licence: {entry.licence}")


@data.command("fetch")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def fetch_sets(names: tuple[str, ...]) -> None:
    """Download the HR images of benchmark sets, for use as --data NAME. LR is made from them."""
    from srbench.data.benchmark_sets.fetch import fetch_set

    for name in names:
        show(fetch_set(name))


@data.group()
def prepare() -> None:
    """Convert published datasets to folders of HR images. SOURCE is the folder with the downloaded files."""


@prepare.command()
@_SOURCE
@_OUT
def celeba(source: Path, out: Path) -> None:
    """CelebA as cropped by the SRFlow authors: upright faces, 160x160, official splits."""
    from srbench.data.prepare.celeba import prepare_celeba

    prepare_celeba(source, out)


@prepare.command()
@_SOURCE
@_OUT
def celeba_aligned(source: Path, out: Path) -> None:
    """CelebA from the aligned images: central 160x160 crops, official splits."""
    from srbench.data.prepare.celeba import prepare_celeba_aligned

    prepare_celeba_aligned(source, out)


@prepare.command()
@_SOURCE
@_OUT
def div2k(source: Path, out: Path) -> None:
    """DIV2K: 800 training and 100 validation images."""
    from srbench.data.prepare.archives import prepare_div2k

    prepare_div2k(source, out)


@prepare.command()
@_SOURCE
@_OUT
def flickr2k(source: Path, out: Path) -> None:
    """Flickr2K: 2650 training images."""
    from srbench.data.prepare.archives import prepare_flickr2k

    prepare_flickr2k(source, out)
