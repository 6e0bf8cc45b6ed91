"""Commands for released weights and official checkpoints. Imports that load torch are inside them."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli import options
from srbench.cli.terminal import say, show

_SHA256 = click.option("--sha256", help="Expected SHA-256; overrides the built-in value.")


@click.command()
@click.argument("checkpoint", type=options.PATH)
@click.option("--preset", required=True, metavar="celeba-x8|df2k-x4|df2k-x8", help="Network size, or a TOML "
              "file. psnr-x4 is the RRDB that ESRGAN starts from.")  # fmt: skip
@click.option("--out", required=True, type=options.PATH, help="Weights file to write (.safetensors).")
@options.one_model(help="Model, such as rrdb, if the checkpoint fits several.")
def convert(checkpoint: Path, preset: str, out: Path, model: str | None) -> None:
    """Convert an official CHECKPOINT to a weights file.

    Reads the released checkpoints of SRFlow, RRDB and ESRGAN.
    """
    from srbench.models.official import convert as convert_checkpoint

    found = convert_checkpoint(checkpoint, preset, out, model)
    say(f"{checkpoint}: {found}, preset {preset}")
    show(out)


@click.group()
def weights() -> None:
    """Download or add released weights; srbench list weights shows them."""


@weights.command("fetch")
@click.argument("name")
@_SHA256
def fetch_weights(name: str, sha256: str | None) -> None:
    """Download the released weights NAME. Use them as MODEL:NAME."""
    from srbench.models.official import fetch

    show(fetch(name, sha256))


@weights.command("add")
@click.argument("name")
@click.argument("source", metavar="FILE_OR_URL")
@_SHA256
def add_weights(name: str, source: str, sha256: str | None) -> None:
    """Add the released weights NAME from a file or URL of your own."""
    from srbench.models.official import add

    show(add(name, source, sha256))
