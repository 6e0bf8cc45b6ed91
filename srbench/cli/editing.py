"""Commands for your own images: upscale, edit, explore. Imports that load torch are inside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli import options
from srbench.cli.terminal import say, show, shown_progress
from srbench.interfaces import Box, SRBenchError

if TYPE_CHECKING:
    from srbench.editing.edit import Edited


@click.command()
@click.argument("paths", metavar="IMAGE|DIR...", nargs=-1, required=True, type=options.PATH)
@options.models(required=True, help="Models, as in srbench run. One writes to --out, several to --out/LABEL.")
@options.scale(required=True)
@options.temperatures(
    default="0.8",
    help="Sampling temperatures. Several are told apart by the names of the outputs, as in NAME_t0.4.png.",
)
@options.samples(default=1)
@options.seed(default=0)
@options.device()
@options.tile
@options.folder("--out", required=True, help="Output folder.")
@click.option("--dry-run", is_flag=True, help="Print what would be upscaled, with estimated time and memory.")
def upscale(dry_run: bool, **values: Any) -> None:  # noqa: ANN401 - click's
    """Upscale images and folders of images, including sub-folders.

    Existing outputs are kept. The LR-PSNR printed for every output tells how well it downscales to its input. On a CPU,
    SRFlow upscales large images in tiles of 128 by itself, which gives the same image.
    """
    from srbench.editing.upscale import UpscaleSpec, estimate, upscale

    if dry_run:
        for line in estimate(UpscaleSpec(**values)):
            show(line)
        return
    failures = 0
    with shown_progress() as progress:
        for result in upscale(UpscaleSpec(**values), progress, say):
            failures += bool(result.fault)
            for path, lr_psnr in zip(result.files, result.lr_psnr, strict=True):
                show(f"{path}  LR-PSNR {lr_psnr:.2f} dB{'  (kept)' if result.kept else ''}")
    if failures:
        raise SRBenchError(f"{failures} could not be upscaled, see above")


@click.group()
def edit() -> None:
    """Edit an image in latent space.

    The result still downscales to the same LR image.
    """


_EDITING = options.together(
    options.one_model(required=True),
    options.scale(required=True, help="Scale of the LR image that is kept."),
    options.device(),
    options.folder("--out", required=True, help="Output folder."),
)


@edit.command("style-transfer")
@click.argument("image", type=options.PATH)
@options.box("--from", "source", required=True, help="Box to take the texture from.")
@options.box("--to", "target", required=True, help="Box to put the texture into.")
@options.temperature(default=0.9, help="Strength of the transferred texture; 1 keeps it.")
@_EDITING
def style_transfer(**values: Any) -> None:  # noqa: ANN401 - click's
    """Transfer the texture of one part of IMAGE to another."""
    from srbench.editing.edit import transfer_style

    _edit(transfer_style, **values)


@edit.command("content-transfer")
@click.argument("target", type=options.PATH)
@click.argument("source", type=options.PATH)
@options.box("--box", help="Box to paste into.")
@click.option("--mask", type=options.PATH, help="Mask image of the size of TARGET: white where to paste.")
@options.temperature(default=0.9, help="Temperature of the pasted latents.")
@options.seed(default=0)
@_EDITING
def content_transfer(box: Box | None, mask: Path | None, **values: Any) -> None:  # noqa: ANN401 - click's
    """Paste SOURCE into TARGET and harmonise it. SOURCE must have the size of TARGET or of the box."""
    where = box or mask
    if where is None or (box and mask):
        raise click.UsageError("Give either --box or --mask.")
    from srbench.editing.edit import transfer_content

    _edit(transfer_content, where=where, **values)


@edit.command("temperature")
@click.argument("image", type=options.PATH)
@options.temperatures("temperatures", default="0,0.3,0.6,0.8,1")
@options.seed(default=0)
@_EDITING
def temperature_command(**values: Any) -> None:  # noqa: ANN401 - click's
    """Downscale IMAGE and sample it at several temperatures from the same seed."""
    from srbench.editing.edit import compare_temperatures

    _edit(compare_temperatures, **values)


@edit.command("restore")
@click.argument("image", type=options.PATH)
@options.temperature(default=0.8, help="Temperature of the remaining texture; lower is smoother.")
@options.seed(default=0)
@_EDITING
def restore(**values: Any) -> None:  # noqa: ANN401 - click's
    """Denoise IMAGE: remove what neither its LR image nor the model explains."""
    from srbench.editing.edit import restore_image

    _edit(restore_image, **values)


@click.command()
@click.argument("image", required=False, type=options.PATH)
@options.one_model(default="srflow")
@options.scale(default=8)
@options.device()
@options.folder("--out", default=Path("explored"), help="Folder for saved images.")
@options.page
def explore(image: Path | None, model: str, scale: int, device: str, out: Path, port: int, no_browser: bool) -> None:
    """Explore possible HR versions of an image in a browser.

    Shows samples, texture edits and the spread of samples. Served on localhost only; press Ctrl-C to stop.
    """
    from srbench.editing.edit import Editor
    from srbench.editing.explore import Explorer
    from srbench.editing.explore_server import explore as serve

    serve(Explorer(Editor(model, scale, device), out), image, port=port, browser=not no_browser)


def _edit(
    edit: Callable[..., Edited | list[Edited]], model: str, scale: int, device: str,
    **values: Any,  # noqa: ANN401 - click's
) -> None:  # fmt: skip
    from srbench.editing.edit import Editor
    from srbench.editing.measures import fit_to_lr

    found = edit(Editor(model, scale, device), **values)
    for made in found if isinstance(found, list) else [found]:
        show(f"{made.file}  {fit_to_lr(made.lr_psnr)}{f'  ({made.remark})' if made.remark else ''}")
