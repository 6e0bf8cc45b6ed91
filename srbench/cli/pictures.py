"""Commands for a person's own pictures: enlarge, edit, explore."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli.options import DEVICES, box, temperature, temperatures

if TYPE_CHECKING:
    from srbench.editing.edit import Edited, Editor
    from srbench.types import Box

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PATH)
@click.option("--model", required=True, help="A name, name:WEIGHTS, file.py:Name or package.module:Name.")
@click.option("--scale", required=True, type=click.IntRange(min=2), help="Enlargement.")
@click.option("--temperature", default=0.8, show_default=True, callback=temperature, metavar="T",
              help="Of a model that draws samples.")  # fmt: skip
@click.option("--samples", default=1, show_default=True, type=click.IntRange(min=1), help="Drawn per picture.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the samples.")
@click.option("--device", default="auto", show_default=True, type=DEVICES)
@click.option("--tile", type=click.IntRange(min=16), help="Enlarge in tiles of this side in LR pixels, to save memory.")
@click.option("--out", required=True, type=PATH, help="Folder of the results.")
@click.pass_context
def upscale(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click's own signature
    """Enlarge pictures and folders of pictures.

    What is there already is kept. Prints how well every result, shrunk again, gives the picture it was made of.
    """
    from srbench.console import say, show, warn_in_one_line
    from srbench.editing.upscale import UpscaleSpec, upscale

    warn_in_one_line()
    failures = 0
    for result in upscale(UpscaleSpec(**options)):
        if result.fault:
            say(f"failed: {result.fault}")
            failures += 1
        for path, lr_psnr in zip(result.files, result.lr_psnr, strict=True):
            show(f"{path}  LR-PSNR {lr_psnr:.2f} dB{'  (kept)' if result.kept else ''}")
    if failures:
        say(f"srbench: {failures} could not be enlarged, see above")
        context.exit(1)


@click.group()
def edit() -> None:
    """Edit a picture so that it still fits its LR picture, by a model that has latents."""


def _editing(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all edits have."""
    options = [
        click.option("--model", required=True, help="A name or name:WEIGHTS."),
        click.option("--scale", required=True, type=click.IntRange(min=2), help="Of the LR picture that is kept."),
        click.option("--device", default="auto", show_default=True, type=DEVICES),
        click.option("--out", required=True, type=PATH, help="Folder of the results."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


_BOX = "X,Y,W,H"


@edit.command("style-transfer")
@click.argument("image", type=PATH)
@click.option("--from", "source", required=True, callback=box, metavar=_BOX, help="Box whose texture is taken.")
@click.option("--to", "target", required=True, callback=box, metavar=_BOX, help="Box that gets it.")
@click.option("--temperature", default=0.9, show_default=True, callback=temperature, metavar="T",
              help="Factor of the texture: 1 as strong as it was.")  # fmt: skip
@_editing
def style_transfer(
    image: Path, source: Box, target: Box, temperature: float, model: str, scale: int, device: str, out: Path
) -> None:
    """Give one part of IMAGE the texture of another."""
    from srbench.editing.edit import transfer_style

    editor = _opened(model, scale, device)
    _tell(transfer_style(editor, image, source, target, temperature, out))


@edit.command("content-transfer")
@click.argument("target", type=PATH)
@click.argument("source", type=PATH)
@click.option("--box", "where", callback=box, metavar=_BOX, help="Where content is pasted.")
@click.option("--mask", type=PATH, help="A picture as large as TARGET, white where content is pasted.")
@click.option("--temperature", default=0.9, show_default=True, callback=temperature, metavar="T",
              help="Of the latents inside.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@_editing
def content_transfer(
    target: Path, source: Path, where: Box | None, mask: Path | None, temperature: float, seed: int,
    model: str, scale: int, device: str, out: Path,
) -> None:  # fmt: skip
    """Paste content of SOURCE into TARGET and harmonise it. SOURCE is as large as TARGET, or as the box."""
    place = where if mask is None else mask
    if place is None or (where is not None and mask is not None):
        raise click.UsageError("Give either --box or --mask.")
    from srbench.editing.edit import transfer_content

    _tell(transfer_content(_opened(model, scale, device), target, source, place, temperature, seed, out))


@edit.command("temperature")
@click.argument("image", type=PATH)
@click.option("--temperatures", default="0,0.3,0.6,0.8,1", show_default=True, callback=temperatures, metavar="T,T")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@_editing
def temperature_command(
    image: Path, temperatures: tuple[float, ...], seed: int, model: str, scale: int, device: str, out: Path
) -> None:
    """Shrink IMAGE and draw it again at several temperatures, from one seed."""
    from srbench.editing.edit import compare_temperatures

    for made in compare_temperatures(_opened(model, scale, device), image, temperatures, seed, out):
        _tell(made)


@edit.command("restore")
@click.argument("image", type=PATH)
@click.option("--temperature", default=0.8, show_default=True, callback=temperature, metavar="T",
              help="Of the texture that stays: less is smoother.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@_editing
def restore(image: Path, temperature: float, seed: int, model: str, scale: int, device: str, out: Path) -> None:
    """Take the noise out of IMAGE: what LR does not explain and no sample would have."""
    from srbench.editing.edit import restore_picture

    _tell(restore_picture(_opened(model, scale, device), image, temperature, seed, out))


@click.command()
@click.argument("image", required=False, type=PATH)
@click.option("--model", default="srflow", show_default=True, help="A name or name:WEIGHTS.")
@click.option("--scale", default=8, show_default=True, type=click.IntRange(min=2), help="Of the LR picture.")
@click.option("--device", default="auto", show_default=True, type=DEVICES)
@click.option("--out", default=Path("explored"), show_default=True, type=PATH, help="Folder of what is saved.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="[default: a free one]")
@click.option("--no-browser", is_flag=True, help="Only serve; open the address yourself.")
def explore(image: Path | None, model: str, scale: int, device: str, out: Path, port: int, no_browser: bool) -> None:
    """Open a page on which to explore what could be behind a picture: samples, moved texture, spread.

    Served to this machine only; Ctrl-C ends it.
    """
    from srbench.editing.explore import Explorer
    from srbench.editing.explore_server import explore as serve

    serve(Explorer(_opened(model, scale, device), out), image, port=port, browser=not no_browser)


def _opened(model: str, scale: int, device: str) -> Editor:
    from srbench.console import warn_in_one_line
    from srbench.editing.edit import Editor

    warn_in_one_line()
    return Editor(model, scale, device)


def _tell(made: Edited) -> None:
    from srbench.console import show

    show(f"{made.file}  LR-PSNR {made.lr_psnr:.2f} dB{f'  ({made.remark})' if made.remark else ''}")
