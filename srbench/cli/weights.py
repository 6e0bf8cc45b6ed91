"""Commands for released weights and official checkpoints. Imports that load torch are inside them."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli import completion, options
from srbench.interfaces import SRBenchError
from srbench.terminal.output import say, show

_SHA256 = click.option(
    "--sha256",
    metavar="HEX",
    help="SHA-256 that the file must have. [default: as srbench show NAME prints]",
)


@click.command(epilog=options.examples("srbench convert RRDB_ESRGAN_x4.pth --preset df2k-x4 --models esrgan"))
@click.argument("checkpoint", type=options.PATH)
@options.preset(required=True, help="Network size, such as df2k-x4: NAME (srbench list presets) or a TOML file.")
@options.file("--out", help="Weights file to write. [default: CHECKPOINT.safetensors in the current folder]")
@options.one_model(help="Model of the checkpoint, if several fit: rrdb or esrgan. [default: the only model that fits]")
def convert(checkpoint: Path, preset: str, out: Path | None, model: str | None) -> None:
    """Convert an official checkpoint to a weights file.

    CHECKPOINT is a file released by the authors of SRFlow, RRDB or ESRGAN (docs/weights.md).
    """
    from srbench.weights.official import convert as convert_checkpoint

    out = out or Path(f"{checkpoint.stem}.safetensors")
    converted = convert_checkpoint(checkpoint, preset, out, model)
    say(f"{checkpoint}: {converted}, preset {preset}")
    show(out)


@click.group()
def weights() -> None:
    """Fetch or add weights released by authors of models.

    srbench list weights shows them.
    """


@weights.command(
    "fetch",
    epilog=options.examples("srbench weights fetch esrgan-x4", "srbench weights fetch --metrics fid,pyiqa:musiq"),
)
@click.argument("name", required=False, shell_complete=completion.RELEASED)
@options.suite(help="Fetch the weights of a suite's metrics instead.")
@options.metrics(help="Fetch the weights of these metrics instead, such as fid,pyiqa:musiq.")
@_SHA256
def fetch_weights(name: str | None, suite: str | None, metrics: tuple[str, ...] | None, sha256: str | None) -> None:
    """Download released weights, or those of metrics.

    Released weights, for MODEL:NAME, are converted and kept in the user's cache. With --suite or --metrics, every
    metric is loaded once, so that pyiqa downloads missing weights into its own cache; a line for each says ready or
    failed.
    """
    if [name, suite, metrics].count(None) != 2 or (name is None and sha256):
        raise click.UsageError("Name either released weights, with or without --sha256, or a --suite, or --metrics.")
    if name is not None:
        from srbench.weights.official import fetch

        show(fetch(name, sha256))
        return
    from srbench.metrics import suite as suites

    faults = []
    for column, fault in suites.fetch_weights(metrics or suites.read_suite(str(suite)).columns):
        show(f"{column}  {'failed' if fault else 'ready'}")
        if fault:
            faults.append(f"{column}: {fault.removeprefix(f'{column} cannot be loaded: ')}")
    if faults:
        raise SRBenchError("; ".join(faults))


@weights.command("add", epilog=options.examples("srbench weights add srflow-celeba-x8 SRFlow_CelebA_8X.pth"))
@click.argument("name", shell_complete=completion.RELEASED)
@click.argument("source", metavar="FILE|URL", shell_complete=completion.FILES)
@_SHA256
def add_weights(name: str, source: str, sha256: str | None) -> None:
    """Add released weights from your own file or URL.

    The weights are converted and kept in the user's cache, in place of an earlier copy.
    """
    from srbench.weights.official import add

    show(add(name, source, sha256))
