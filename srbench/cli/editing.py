"""Commands for your own images: upscale, edit, explore."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli.options import DEVICES, SEEDS, TILES, box, temperature, temperatures
from srbench.cli.progress import shown_progress

if TYPE_CHECKING:
    from srbench.editing.edit import Edited, Editor
    from srbench.interfaces import Box

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PATH)
@click.option("--model", required=True, help="Model: NAME, NAME:WEIGHTS, file.py:Name or package.module:Name.")
@click.option("--scale", required=True, metavar="S", type=click.IntRange(min=2), help="Upscaling factor.")
@click.option("--temperature", default=0.8, show_default=True, callback=temperature, metavar="T",
              help="Sampling temperature.")  # fmt: skip
@click.option(
    "--samples", default=1, show_default=True, metavar="N", type=click.IntRange(min=1), help="Samples per image."
)
@click.option("--seed", default=0, show_default=True, type=SEEDS, help="Random seed for sampling.")
@click.option("--device", default="auto", show_default=True, type=DEVICES, help="Device to run on.")
@click.option("--tile", metavar="PX", type=TILES, help="Upscale in tiles of this size (LR pixels) to save memory.")
@click.option("--out", required=True, type=PATH, help="Output folder.")
@click.pass_context
def upscale(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click's own signature
    """Upscale images and folders of images, including sub-folders.

    Existing outputs are kept. The LR-PSNR printed for every output tells how well it downscales to its input.
    """
    from srbench.editing.upscale import UpscaleSpec, upscale
    from srbench.system.terminal import say, show

    failures = 0
    with shown_progress() as progress:
        for result in upscale(UpscaleSpec(**options), progress):
            if result.fault:
                failures += 1
            for path, lr_psnr in zip(result.files, result.lr_psnr, strict=True):
                show(f"{path}  LR-PSNR {lr_psnr:.2f} dB{'  (kept)' if result.kept else ''}")
    if failures:
        say(f"srbench: {failures} could not be upscaled, see above")
        context.exit(1)


@click.group()
def edit() -> None:
    """Edit an image in latent space.

    The result still downscales to the same LR image.
    """


def _editing(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every edit."""
    options = [
        click.option("--model", required=True, help="Model: NAME or NAME:WEIGHTS."),
        click.option(
            "--scale",
            required=True,
            metavar="S",
            type=click.IntRange(min=2),
            help="Scale of the LR image that is kept.",
        ),
        click.option("--device", default="auto", show_default=True, type=DEVICES, help="Device to run on."),
        click.option("--out", required=True, type=PATH, help="Output folder."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


_BOX = "X,Y,W,H"


@edit.command("style-transfer")
@click.argument("image", type=PATH)
@click.option("--from", "source", required=True, callback=box, metavar=_BOX, help="Box to take the texture from.")
@click.option("--to", "target", required=True, callback=box, metavar=_BOX, help="Box to put the texture into.")
@click.option("--temperature", default=0.9, show_default=True, callback=temperature, metavar="T",
              help="Strength of the transferred texture; 1 keeps it.")  # fmt: skip
@_editing
def style_transfer(
    image: Path, source: Box, target: Box, temperature: float, model: str, scale: int, device: str, out: Path
) -> None:
    """Transfer the texture of one part of IMAGE to another."""
    from srbench.editing.edit import transfer_style

    editor = _opened(model, scale, device)
    _tell(transfer_style(editor, image, source, target, temperature, out))


@edit.command("content-transfer")
@click.argument("target", type=PATH)
@click.argument("source", type=PATH)
@click.option("--box", "where", callback=box, metavar=_BOX, help="Box to paste into.")
@click.option("--mask", type=PATH, help="Mask image of the size of TARGET: white where to paste.")
@click.option("--temperature", default=0.9, show_default=True, callback=temperature, metavar="T",
              help="Temperature of the pasted latents.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=SEEDS, help="Random seed for sampling.")
@_editing
def content_transfer(
    target: Path, source: Path, where: Box | None, mask: Path | None, temperature: float, seed: int,
    model: str, scale: int, device: str, out: Path,
) -> None:  # fmt: skip
    """Paste SOURCE into TARGET and harmonise it. SOURCE must have the size of TARGET or of the box."""
    place = where if mask is None else mask
    if place is None or (where is not None and mask is not None):
        raise click.UsageError("Give either --box or --mask.")
    from srbench.editing.edit import transfer_content

    _tell(transfer_content(_opened(model, scale, device), target, source, place, temperature, seed, out))


@edit.command("temperature")
@click.argument("image", type=PATH)
@click.option("--temperatures", default="0,0.3,0.6,0.8,1", show_default=True, callback=temperatures, metavar="T,T",
              help="Sampling temperatures.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=SEEDS, help="Random seed for sampling.")
@_editing
def temperature_command(
    image: Path, temperatures: tuple[float, ...], seed: int, model: str, scale: int, device: str, out: Path
) -> None:
    """Downscale IMAGE and sample it at several temperatures from the same seed."""
    from srbench.editing.edit import compare_temperatures

    for made in compare_temperatures(_opened(model, scale, device), image, temperatures, seed, out):
        _tell(made)


@edit.command("restore")
@click.argument("image", type=PATH)
@click.option("--temperature", default=0.8, show_default=True, callback=temperature, metavar="T",
              help="Temperature of the remaining texture; lower is smoother.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=SEEDS, help="Random seed for sampling.")
@_editing
def restore(image: Path, temperature: float, seed: int, model: str, scale: int, device: str, out: Path) -> None:
    """Denoise IMAGE: remove what neither its LR image nor the model explains."""
    from srbench.editing.edit import restore_image

    _tell(restore_image(_opened(model, scale, device), image, temperature, seed, out))


@click.command()
@click.argument("image", required=False, type=PATH)
@click.option("--model", default="srflow", show_default=True, help="Model: NAME or NAME:WEIGHTS.")
@click.option(
    "--scale", default=8, show_default=True, metavar="S", type=click.IntRange(min=2), help="Upscaling factor."
)
@click.option("--device", default="auto", show_default=True, type=DEVICES, help="Device to run on.")
@click.option("--out", default=Path("explored"), show_default=True, type=PATH, help="Folder for saved images.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port to listen on. [default: any free port]")
@click.option("--no-browser", is_flag=True, help="Do not open a browser; only print the address.")
def explore(image: Path | None, model: str, scale: int, device: str, out: Path, port: int, no_browser: bool) -> None:
    """Explore possible HR versions of an image in a browser.

    Shows samples, texture edits and the spread of samples. Served on localhost only; press Ctrl-C to stop.
    """
    from srbench.editing.explore import Explorer
    from srbench.editing.explore_server import explore as serve

    serve(Explorer(_opened(model, scale, device), out), image, port=port, browser=not no_browser)


def _opened(model: str, scale: int, device: str) -> Editor:
    from srbench.editing.edit import Editor
    from srbench.system.terminal import warn_in_one_line

    warn_in_one_line()
    return Editor(model, scale, device)


def _tell(made: Edited) -> None:
    from srbench.editing.measures import fit_to_lr
    from srbench.system.terminal import show

    show(f"{made.file}  {fit_to_lr(made.lr_psnr)}{f'  ({made.remark})' if made.remark else ''}")
