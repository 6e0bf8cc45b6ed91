"""The commands that make folders to train on. Whatever loads torch is imported inside them."""

from __future__ import annotations

from pathlib import Path

import click

_SOURCE = click.argument("source", type=click.Path(path_type=Path))
_OUT = click.argument("out", type=click.Path(path_type=Path))


@click.group()
def data() -> None:
    """Pictures to train on."""


@data.group()
def prepare() -> None:
    """Turn what is published into folders of pictures; SOURCE is the folder that you downloaded to."""


@prepare.command()
@_SOURCE
@_OUT
def celeba(source: Path, out: Path) -> None:
    """CelebA as SRFlow's authors cropped it: faces upright, 160x160, the official splits."""
    from srbench.prepare.celeba import prepare_celeba

    prepare_celeba(source, out)


@prepare.command()
@_SOURCE
@_OUT
def celeba_aligned(source: Path, out: Path) -> None:
    """CelebA from its aligned pictures: the central 160x160, the official splits."""
    from srbench.prepare.celeba import prepare_celeba_aligned

    prepare_celeba_aligned(source, out)


@prepare.command()
@_SOURCE
@_OUT
def div2k(source: Path, out: Path) -> None:
    """DIV2K: 800 training and 100 validation pictures."""
    from srbench.prepare.archives import prepare_div2k

    prepare_div2k(source, out)


@prepare.command()
@_SOURCE
@_OUT
def flickr2k(source: Path, out: Path) -> None:
    """Flickr2K: 2650 training pictures."""
    from srbench.prepare.archives import prepare_flickr2k

    prepare_flickr2k(source, out)


@prepare.command()
@_OUT
def debian_photos(out: Path) -> None:
    """The photographs of the packaged models: 246 to train on and 12 to validate with, from Debian packages."""
    from srbench.prepare.debian import prepare_debian_photos

    prepare_debian_photos(out)
